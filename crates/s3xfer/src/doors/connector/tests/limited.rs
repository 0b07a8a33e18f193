//! The connector against servers that do not serve every connection.

use super::*;

/// A server that serves its first connection alone, and the paths that it was asked for.
fn serving_one() -> (Server, Arc<Mutex<Vec<String>>>) {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let seen = paths.clone();
    let server = Server::new(move |asked, out| {
        if asked.connection > 0 {
            // Spurious ends do no harm: nothing is answered.
            thread::park();
            return Ok(true);
        }
        seen.lock().unwrap().push(asked.head.split(' ').nth(1).unwrap().to_owned());
        out.write_all(&good(b"x")).map(|()| true)
    });
    (server, paths)
}

#[tokio::test]
async fn requests_whose_connections_are_not_served_take_those_that_come_back_in_turn() {
    let (server, paths) = serving_one();
    let shared = Shared::default();
    // Its connection is in use until the body is read.
    let first = get(&shared, &server.url("/first")).await;
    tokio::time::pause();
    let ask = async |path| whole(get(&shared, &server.url(path)).await).await;
    let waiting = async |count| {
        while shared.pool.wanted() < count {
            sleep(MOMENT).await;
        }
    };
    let third = async {
        waiting(1).await;
        ask("/third").await
    };
    let (second, third, ()) = tokio::join!(ask("/second"), third, async {
        waiting(2).await;
        assert_eq!(whole(first).await, b"x");
    });
    assert_eq!((second, third), (b"x".to_vec(), b"x".to_vec()));
    assert_eq!(*paths.lock().unwrap(), ["/first", "/second", "/third"]);
}

#[tokio::test]
async fn requests_whose_connections_are_not_served_take_those_that_wait() {
    let (server, paths) = serving_one();
    let shared = Shared::default();
    let first = get(&shared, &server.url("/first")).await;
    tokio::time::pause();
    let url = server.url("/second");
    let (second, ()) = tokio::join!(get(&shared, &url), async {
        // It comes back before the second one is late.
        while server.accepted() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(whole(first).await, b"x");
    });
    assert_eq!(whole(second).await, b"x");
    assert_eq!(*paths.lock().unwrap(), ["/first", "/second"]);
}

#[tokio::test]
async fn a_request_is_late_by_the_time_that_answers_take() {
    let (server, paths) = serving_one();
    let shared = Shared::default();
    for _ in 0..7 {
        whole(get(&shared, &server.url("/before")).await).await;
    }
    let first = get(&shared, &server.url("/first")).await;
    let count = shared.dialler.count(&server.address.ip().to_string(), server.address.port());
    let counted = || count.seen().map(|seen| (seen.served, seen.late));
    tokio::time::pause();
    let began = Instant::now();
    let url = server.url("/second");
    let (second, ()) = tokio::join!(get(&shared, &url), async {
        while shared.pool.wanted() < 1 {
            sleep(MOMENT).await;
        }
        assert_eq!(counted(), Some((1, 1)));
        assert_eq!(whole(first).await, b"x");
    });
    let waited = began.elapsed();
    assert!((LEAST_LATE..Duration::from_secs(2)).contains(&waited), "{waited:?}");
    assert_eq!(second.status().as_u16(), 200);
    assert_eq!((counted(), paths.lock().unwrap().len()), (Some((1, 0)), 9));
}

#[tokio::test]
async fn a_request_is_sent_over_a_second_new_connection_once_a_served_one_is_closed() {
    for others in [0, 1] {
        let server = Server::new(move |asked, out| {
            if asked.connection == others + 1 {
                thread::park();
                return Ok(true);
            }
            out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx").map(|()| false)
        });
        let shared = Shared::default();
        // In use for as long as their bodies are not read.
        let mut held = Vec::new();
        for _ in 0..others {
            held.push(get(&shared, &server.url("/held")).await);
        }
        assert_eq!(whole(get(&shared, &server.url("/first")).await).await, b"x");
        tokio::time::pause();
        let began = Instant::now();
        assert_eq!(whole(get(&shared, &server.url("/second")).await).await, b"x");
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
        assert_eq!(server.accepted(), others + 3);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_connection_given_to_a_request_that_is_gone_goes_to_the_next() {
    let server = Server::new(|_, out| out.write_all(&good(b"x")).map(|()| true));
    let shared = Shared::default();
    let origin = shared.origin(&server.url("/").parse().unwrap()).unwrap();
    let first = get(&shared, &server.url("/")).await;
    let mut gone = Box::pin(shared.pool.returned(&origin));
    let mut next = Box::pin(shared.pool.returned(&origin));
    assert!(futures::poll!(&mut gone).is_pending() && futures::poll!(&mut next).is_pending());
    whole(first).await;
    assert!(futures::poll!(&mut next).is_pending() && shared.pool.usable() == 0, "it was given to the other one");
    drop(gone);
    let given = next.await;
    assert_eq!((shared.pool.wanted(), shared.pool.usable()), (0, 0));
    shared.pool.put(origin, given);
    assert_eq!(shared.pool.usable(), 1);
    whole(get(&shared, &server.url("/")).await).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_connection_that_comes_back_closed_is_not_taken() {
    let server = Server::new(|asked, out| out.write_all(&good(b"x")).map(|()| asked.connection > 0));
    let shared = Shared::default();
    let origin = shared.origin(&server.url("/").parse().unwrap()).unwrap();
    let (first, second) = (get(&shared, &server.url("/")).await, get(&shared, &server.url("/")).await);
    while server.open.load(Ordering::SeqCst) > 1 {
        thread::yield_now();
    }
    let mut wanting = Box::pin(shared.pool.returned(&origin));
    assert!(futures::poll!(&mut wanting).is_pending());
    whole(first).await;
    assert!(futures::poll!(&mut wanting).is_pending());
    whole(second).await;
    assert!(wanting.await.is_usable());
}
