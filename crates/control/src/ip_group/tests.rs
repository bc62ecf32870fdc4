//! The rules of IP groups, row by row.

use model::{Description, ListenerPatch, NewListener, Patch};

use super::*;
use crate::{
    listener,
    testing::{World, entries, new_ip_group, new_listener, white},
};

fn remarked(span: &str, remark: &str) -> IpEntry {
    IpEntry { span: span.parse().unwrap(), description: Description::try_from(remark).unwrap() }
}

/// Spans and remarks as texts.
fn shown(group: &IpGroup) -> Vec<String> {
    group.entries.iter().map(|entry| format!("{}|{}", entry.span, entry.description)).collect()
}

#[test]
fn a_span_stands_once_with_its_first_remark() {
    let mut world = World::new();
    let new = NewIpGroup {
        entries: vec![
            remarked("10.0.0.1", "one"),
            remarked("::/0", ""),
            remarked("10.0.0.1/32", "two"),
            remarked("10.0.0.1-10.0.0.9", "a range"),
        ],
        ..new_ip_group(&[])
    };
    let made = world.run(|draft| create(draft, new)).unwrap();
    assert_eq!(shown(&made), ["10.0.0.1|one", "::/0|", "10.0.0.1-10.0.0.9|a range"]);
}

#[test]
fn a_remark_is_no_markup() {
    let mut world = World::new();
    let entry = || Some(vec![remarked("10.0.0.1", "<b>")]);
    let new = NewIpGroup { entries: entry().unwrap(), ..new_ip_group(&[]) };
    assert_eq!(world.blame(|draft| create(draft, new)), "ip_list");
    let id = world.ip_group(&[]).id;
    let patch = || IpGroupPatch { entries: entry(), ..Default::default() };
    assert_eq!(world.blame(|draft| update(draft, id, patch())), "ip_list");
    assert_eq!(world.blame(|draft| put_entries(draft, id, patch())), "ip_list");
}

#[test]
fn entries_are_replaced_added_or_taken_away() {
    let mut world = World::new();
    let id = world.ip_group(&["10.0.0.1", "10.0.0.2"]).id;
    let said = IpGroupPatch {
        entries: Some(vec![
            remarked("10.0.0.3", ""),
            remarked("10.0.0.1/32", "new"),
            remarked("10.0.0.3", "twice"),
        ]),
        name: Some("group".try_into().unwrap()),
        ..Default::default()
    };
    let group = world.run(|draft| put_entries(draft, id, said)).unwrap();
    assert_eq!(shown(&group), ["10.0.0.1|new", "10.0.0.2|", "10.0.0.3|twice"]);
    assert_eq!(group.name.as_str(), "group");
    let spans = ["10.0.0.2", "10.9.9.9"].map(|span| span.parse().unwrap());
    let group = world.run(|draft| remove_entries(draft, id, &spans)).unwrap();
    assert_eq!(shown(&group), ["10.0.0.1|new", "10.0.0.3|twice"], "what is not there is no error");
    let said = IpGroupPatch { entries: Some(entries(&["192.0.2.0/24"])), ..Default::default() };
    let group = world.run(|draft| update(draft, id, said)).unwrap();
    assert_eq!(shown(&group), ["192.0.2.0/24|"]);
    let group = world.run(|draft| update(draft, id, IpGroupPatch::default())).unwrap();
    assert_eq!(shown(&group), ["192.0.2.0/24|"], "nothing said, nothing changed");
    let said = IpGroupPatch { entries: Some(Vec::new()), ..Default::default() };
    assert!(world.run(|draft| update(draft, id, said)).unwrap().entries.is_empty());
}

#[test]
fn groups_and_their_entries_have_quotas() {
    let mut world = World::new();
    world.site.quotas.extend([(QuotaKey::Ipgroup, 1), (QuotaKey::IpgroupMaxLength, 2)]);
    let three = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    assert_eq!(world.code(|draft| create(draft, new_ip_group(&three))), "quota_exceeded");
    let id = world.ip_group(&["10.0.0.1", "10.0.0.1", "10.0.0.2"]).id;
    assert_eq!(world.code(|draft| create(draft, new_ip_group(&[]))), "quota_exceeded");
    let said = |spans: &[&str]| IpGroupPatch { entries: Some(entries(spans)), ..Default::default() };
    for (why, spans, expect) in
        [("of those that are there", &["10.0.0.2"][..], "ok"), ("one more", &["10.0.0.3"], "quota_exceeded")]
    {
        assert_eq!(world.code(|draft| put_entries(draft, id, said(spans))), expect, "{why}");
    }
    assert_eq!(world.code(|draft| update(draft, id, said(&three))), "quota_exceeded");
}

#[test]
fn a_group_in_use_stays_and_its_listeners_may_go() {
    let mut world = World::new();
    let lb = world.load_balancer().id;
    let (group, other) = (world.ip_group(&[]), world.ip_group(&[]));
    let new = NewListener { access: Some(white(&[&group, &other])), ..new_listener(lb, 80) };
    let id = world.run(|draft| listener::create(draft, new)).unwrap().id;
    assert_eq!(world.code(|draft| delete(draft, group.id)), "in_use");
    let patch = ListenerPatch { access: Patch::Set(white(&[&other])), ..Default::default() };
    world.run(|draft| listener::update(draft, id, patch)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, group.id)), "ok");
    world.run(|draft| listener::delete(draft, id)).unwrap();
    assert_eq!(world.code(|draft| delete(draft, other.id)), "ok");
    assert_eq!(world.code(|draft| delete(draft, other.id)), "not_found");
}

#[test]
fn another_projects_group_is_not_there() {
    let mut world = World::new();
    let id = world.ip_group(&[]).id;
    world.as_other_project();
    assert_eq!(world.code(|draft| update(draft, id, IpGroupPatch::default())), "not_found");
    assert_eq!(world.code(|draft| put_entries(draft, id, IpGroupPatch::default())), "not_found");
    assert_eq!(world.code(|draft| remove_entries(draft, id, &[])), "not_found");
    assert_eq!(world.code(|draft| delete(draft, id)), "not_found");
}
