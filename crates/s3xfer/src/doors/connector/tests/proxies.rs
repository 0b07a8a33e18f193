//! The connector behind proxies.

use super::*;

/// A client that goes through `server`, for both schemes.
fn through(server: &Server, user: &str, shared: Shared) -> Shared {
    let url = format!("http://{user}{}/", server.address);
    let value = move |name: &str| ["https_proxy", "http_proxy"].contains(&name).then(|| url.clone());
    Shared { proxies: Proxies::new(value), ..shared }
}

/// Opens a tunnel to the requested host, and records the request.
fn tunnelling() -> (Server, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let server = Server::with(move |mut stream, _| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let host = head.split(' ').nth(1).unwrap().to_owned();
        seen.lock().unwrap().push(head);
        let mut there = TcpStream::connect(host)?;
        // Lengths mean nothing here.
        stream.write_all(b"HTTP/1.1 200 Connection established\r\ncontent-length: 7\r\n\r\n")?;
        let (mut back, mut forth) = (there.try_clone()?, stream.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut back, &mut forth);
            let _ = forth.shutdown(std::net::Shutdown::Both);
        });
        io::copy(&mut stream, &mut there)?;
        there.shutdown(std::net::Shutdown::Both)
    });
    (server, heads)
}

#[tokio::test]
async fn requests_for_https_go_by_a_way_that_the_proxy_opens() {
    let ca = Ca::new();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let server = Server::tls(ca.server_config(rustls::ALL_VERSIONS), move |asked, out| {
        seen.lock().unwrap().push(asked.head.clone());
        out.write_all(&good(&bytes(300_000))).map(|()| true)
    });
    let (proxy, asked) = tunnelling();
    let shared = through(&proxy, "us%20er:p%40ss@", ca.trusted());
    let url = server.url("/a").replace("http:", "https:");
    for _ in 0..2 {
        assert_eq!(whole(get(&shared, &url).await).await, bytes(300_000));
    }
    let address = server.address;
    // `us er:p@ss`.
    let head =
        format!("CONNECT {address} HTTP/1.1\r\nhost: {address}\r\nproxy-authorization: Basic dXMgZXI6cEBzcw==\r\n\r\n");
    assert_eq!(*asked.lock().unwrap(), [head]);
    assert_eq!((proxy.accepted(), server.accepted()), (1, 1));
    let heads = std::mem::take(&mut *heads.lock().unwrap());
    assert!(heads.iter().all(|head| head.starts_with("GET /a HTTP/1.1") && !head.contains("proxy-")), "{heads:?}");
    // The same host without a proxy is another origin.
    let direct = Shared { proxies: Proxies::default(), ..shared };
    whole(get(&direct, &url).await).await;
    assert_eq!((proxy.accepted(), server.accepted()), (1, 2));
    assert!(!format!("{direct:?}").contains("dXMgZXI6cEBzcw"));
}

#[tokio::test]
async fn requests_for_http_are_put_to_the_proxy_itself() {
    let proxy = Server::new(|asked, out| {
        let expected = "GET http://nowhere.example:1234/a?b HTTP/1.1\r\nhost: nowhere.example:1234\r\n\
                        proxy-authorization: Basic dTpw\r\n\r\n";
        out.write_all(&good(if asked.head == expected { b"right" } else { asked.head.as_bytes() })).map(|()| true)
    });
    let shared = through(&proxy, "u:p@", Shared::default());
    for _ in 0..2 {
        assert_eq!(whole(get(&shared, "http://nowhere.example:1234/a?b").await).await, b"right");
    }
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let nobody = Server { address: TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(), ..tunnelling().0 };
    let saying = |answer: &'static str| Server::new(move |_, out| out.write_all(answer.as_bytes()).map(|()| false));
    let wants_more = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    for (proxy, scheme, what, again) in [
        (&nobody, "https", "takes no connection", true),
        (&nobody, "http", "takes no connection", true),
        (&saying(wants_more), "https", "407", false),
        (&saying(wants_more), "http", "407", false),
        (&saying("HTTP/1.1 403 Forbidden\r\n\r\n"), "https", "403 Forbidden; if the endpoint", false),
        (&saying("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "https", "503", true),
        (&saying("HTTP/1.1 200 OK\r\n\r\nHello"), "https", "more than", false),
        (&saying("SSH-2.0\r\n"), "https", "not HTTP/1", false),
        (&saying(""), "https", "closed", true),
    ] {
        let shared = through(proxy, "user:secret@", Shared::default());
        let error = ask(&shared, Method::GET, &format!("{scheme}://nowhere.example/"), NEVER).await.unwrap_err();
        let said = error.to_string();
        let named = format!("proxy http://{} (from {scheme}_proxy)", proxy.address);
        assert!(said.contains(&named) && said.contains(what), "{said}");
        assert!(!format!("{said} {error:?}").contains("secret"), "{said}");
        assert!(error.source().is_none(), "whoever reports it looks at the innermost error only");
        let error = ConnectorError::from(error);
        assert_eq!(error.is_io(), again, "{said}");
    }
    let timeouts = Timeouts { connect: Some(Duration::from_millis(20)), read: None };
    let silent = Server::new(|_, _| {
        thread::park();
        Ok(false)
    });
    let shared = through(&silent, "user:secret@", Shared::default());
    let error = ask(&shared, Method::GET, "https://nowhere.example/", timeouts).await.unwrap_err().to_string();
    assert!(error.starts_with("no connection to nowhere.example through the proxy http://"), "{error}");
}

#[tokio::test]
async fn a_proxy_of_another_kind_is_an_error_that_says_so() {
    let value = |name: &str| (name == "ALL_PROXY").then(|| "socks5://127.0.0.1:1080".to_owned());
    let shared = Shared { proxies: Proxies::new(value), ..Shared::default() };
    let error = ask(&shared, Method::GET, "http://nowhere.example/", NEVER).await.unwrap_err();
    assert!(error.to_string().contains("ALL_PROXY names a proxy of the kind socks5://"), "{error}");
    assert!(ConnectorError::from(error).is_user());
}
