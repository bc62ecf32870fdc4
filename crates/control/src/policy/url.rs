//! The rules of redirects and rewrites: texts with variables (behaviour/forwarding.md, Actions and Extras).

use model::{
    Listener, ListenerProtocol, Port,
    policy::{Rewrite, UrlRedirect},
};

use super::extras;
use crate::Error;

/// Whether a redirect can be said, and leads elsewhere.
pub(super) fn check_redirect(listener: &Listener, redirect: &UrlRedirect) -> Result<(), Error> {
    let field = "redirect_url_config";
    let invalid = |reason: String| Err(Error::invalid(field, reason));
    if !["HTTP", "HTTPS", PROTOCOL].contains(&redirect.protocol.as_str()) {
        return invalid(format!("protocol must be HTTP, HTTPS or {PROTOCOL}"));
    }
    let port = match redirect.port.as_str() {
        PORT => None,
        text => match plain_port(text) {
            Some(port) => Some(port),
            None => return invalid(format!("port must be from 1 to 65535 or {PORT}")),
        },
    };
    let variables = [PROTOCOL, HOST, PORT, PATH, QUERY];
    check_host(&redirect.host, &variables, field)?;
    check_path(&redirect.path, &variables, field)?;
    check_query(&redirect.query, &variables, field)?;
    if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
        return invalid(format!("status_code is {}; it must be 301, 302, 303, 307 or 308", redirect.status));
    }
    check_no_loop(listener, redirect, port)?;
    extras::check_headers(&redirect.headers, listener, field)
}

/// One of protocol, host, port and path differs from the request's; where protocol and port lead to the listener itself, host or path.
fn check_no_loop(listener: &Listener, redirect: &UrlRedirect, port: Option<Port>) -> Result<(), Error> {
    let own = match listener.protocol() {
        ListenerProtocol::Http => "HTTP",
        ListenerProtocol::Https | ListenerProtocol::Quic => "HTTPS",
        // Policies are of listeners of layer 7 alone.
        ListenerProtocol::Tcp | ListenerProtocol::Udp | ListenerProtocol::Tls => "",
    };
    let same_protocol = redirect.protocol == PROTOCOL || redirect.protocol == own;
    let same_port = port.is_none_or(|port| listener.ports.contains(port));
    if same_protocol && same_port && redirect.host == HOST && redirect.path == PATH {
        return Err(Error::invalid(
            "redirect_url_config",
            "leads back to the listener itself; give another protocol, host, port or path",
        ));
    }
    Ok(())
}

/// Whether a rewrite can be said.
pub(super) fn check_rewrite(rewrite: &Rewrite, field: &'static str) -> Result<(), Error> {
    let variables = [HOST, PATH, QUERY];
    check_host(&rewrite.host, &variables, field)?;
    check_path(&rewrite.path, &variables, field)?;
    check_query(&rewrite.query, &variables, field)?;
    if rewrite.host != HOST && !rewrite.host.contains('.') && !rewrite.host.contains('$') {
        return Err(Error::invalid(field, "host must have at least two labels"));
    }
    Ok(())
}

fn check_host(host: &str, variables: &[&str], field: &'static str) -> Result<(), Error> {
    let plain = without_variables(host, variables, "host", field)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty()
        || !plain.chars().all(fits)
        || host.starts_with('.')
        || host.ends_with('.')
        || host.contains("..")
    {
        return Err(Error::invalid(
            field,
            format!(
                "host must be a name of letters, digits, '-' and '_' between single dots, or hold {HOST}"
            ),
        ));
    }
    Ok(())
}

fn check_path(path: &str, variables: &[&str], field: &'static str) -> Result<(), Error> {
    let plain = without_variables(path, variables, "path", field)?;
    let begins = path.starts_with('/') || path.starts_with('$');
    // A question mark or hash would end the path.
    if !begins
        || !plain
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>'))
    {
        return Err(Error::invalid(
            field,
            format!("path must begin with '/' or {PATH}, without spaces, '?', '#', quotes or angle brackets"),
        ));
    }
    Ok(())
}

fn check_query(query: &str, variables: &[&str], field: &'static str) -> Result<(), Error> {
    let plain = without_variables(query, variables, "query", field)?;
    if !plain.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')) {
        return Err(Error::invalid(field, "query must not hold spaces, '#', quotes or angle brackets"));
    }
    Ok(())
}

/// The text without its variables; one that is unknown here is refused, as nobody means it as text.
fn without_variables(
    text: &str,
    variables: &[&str],
    what: &str,
    field: &'static str,
) -> Result<String, Error> {
    if text.chars().count() > TEXT_MAX {
        return Err(Error::invalid(field, format!("{what} has more than {TEXT_MAX} characters")));
    }
    let plain = variables.iter().fold(text.to_owned(), |text, variable| text.replace(variable, ""));
    if plain.contains("${") {
        return Err(Error::invalid(
            field,
            format!("{what} holds a variable that is none of {}", variables.join(", ")),
        ));
    }
    // `$1` to `$9` stand for what the path's regular expression captured.
    let mut without = String::with_capacity(plain.len());
    let mut rest = plain.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '$' && rest.next_if(|next| ('1'..='9').contains(next)).is_some() {
            continue;
        }
        without.push(c);
    }
    Ok(without)
}

fn plain_port(text: &str) -> Option<Port> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 5 && !text.starts_with('0');
    text.parse::<i64>().ok().filter(|_| plain).and_then(|port| Port::try_from(port).ok())
}

const PROTOCOL: &str = "${protocol}";
const HOST: &str = "${host}";
const PORT: &str = "${port}";
const PATH: &str = "${path}";
const QUERY: &str = "${query}";
/// Characters of a text with variables.
const TEXT_MAX: usize = 128;
