//! What the codec costs: nanoseconds per head, parsed and written on, on one core.
//!
//! `cargo run --release -p wire --example h1_bench`. Each figure is the best of several rounds, for the machine's
//! other work only ever adds.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::hint::black_box;
use std::time::Instant;

use wire::h1::{
    Authority, Body, Edits, Exchange, Framing, HeaderId, HeaderLines, HeaderSet, Headers, Limits, MethodKind,
    Parsed, RequestOut, ResponseOut, UpstreamConnection, Version, parse_request, parse_response,
    write_request, write_response,
};

const WRK: &[u8] = b"GET /small HTTP/1.1\r\nHost: bench.test\r\n\r\n";
const CURL: &[u8] =
    b"GET /a/path?with=query HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /shop/item/4711?ref=home HTTP/1.1\r\n\
Host: www.example.com\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.example.com/shop\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
Content-Type: text/plain\r\nContent-Length: 128\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
Connection: keep-alive\r\nETag: \"69559e00-80\"\r\nAccept-Ranges: bytes\r\n\r\n";

fn main() {
    let limits = Limits::default();
    let mut headers = Headers::new();
    for (name, bytes) in [("wrk", WRK), ("curl", CURL), ("browser", BROWSER)] {
        let parse = best(|| {
            let parsed = parse_request(black_box(bytes), &mut headers, &limits);
            assert!(matches!(parsed, Ok(Parsed::Complete(_))));
        });
        let mut headers = Headers::new();
        let mut lines = HeaderLines::new();
        let mut out = Vec::with_capacity(4096);
        let both = best(|| {
            let Ok(Parsed::Complete(head)) = parse_request(black_box(bytes), &mut headers, &limits) else {
                unreachable!("a good request")
            };
            out.clear();
            lines.clear();
            lines
                .push_joined(b"X-Forwarded-For", head.values(HeaderId::X_FORWARDED_FOR), b"127.0.0.1")
                .and_then(|()| lines.push(b"X-Real-IP", b"127.0.0.1"))
                .and_then(|()| lines.push(b"X-Forwarded-Proto", b"http"))
                .expect("good lines");
            let how = RequestOut {
                host_default: Authority::parse(b"vip").expect("a host"),
                host: None,
                target: None,
                connection: UpstreamConnection::KeepAlive,
                edits: Edits {
                    drop: HeaderSet::of(&[
                        HeaderId::X_FORWARDED_FOR,
                        HeaderId::X_REAL_IP,
                        HeaderId::X_FORWARDED_PROTO,
                    ]),
                    drop_names: &[],
                    append: &lines,
                },
            };
            black_box(write_request(&mut out, &head, &how));
        });
        println!(
            "{name:8} {:4} bytes: parse {parse:6.1} ns, parse + edits + write {both:6.1} ns",
            bytes.len()
        );
    }

    let exchange = Exchange::new(MethodKind::Get);
    let parse = best(|| {
        let parsed = parse_response(black_box(RESPONSE), &mut headers, &limits, &exchange);
        assert!(matches!(parsed, Ok(Parsed::Complete(_))));
    });
    let mut out = Vec::with_capacity(4096);
    let mut server = HeaderLines::new();
    server.push(b"Server", b"elb").expect("a good line");
    let both = best(|| {
        let Ok(Parsed::Complete(head)) =
            parse_response(black_box(RESPONSE), &mut headers, &limits, &exchange)
        else {
            unreachable!("a good response")
        };
        out.clear();
        let edits = Edits { drop: HeaderSet::of(&[HeaderId::SERVER]), drop_names: &[], append: &server };
        let how = ResponseOut { downstream: Version::Http11, keep_alive: true, recode: false, edits };
        let _ = black_box(write_response(&mut out, &head, &how));
    });
    println!(
        "response {:4} bytes: parse {parse:6.1} ns, parse + edits + write {both:6.1} ns",
        RESPONSE.len()
    );

    let chunked = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n0\r\n\r\n"].concat();
    let relay = best(|| {
        let mut body = Body::for_request(Framing::Chunked);
        black_box(body.relay(black_box(&chunked)).is_ok());
    });
    println!("chunked body of 16 KiB in one chunk: relay {relay:6.1} ns");
    let small = [&b"10\r\n0123456789abcdef\r\n".repeat(1000)[..], b"0\r\n\r\n"].concat();
    let relay = best(|| {
        let mut body = Body::for_request(Framing::Chunked);
        black_box(body.relay(black_box(&small)).is_ok());
    });
    println!("1000 chunks of 16 bytes: relay {relay:6.1} ns");
}

/// Nanoseconds that one call takes, in the best of 30 rounds.
fn best(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 20_000;
    let mut best = f64::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    best
}
