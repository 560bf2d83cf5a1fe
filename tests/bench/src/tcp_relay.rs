//! A TCP relay that reads nothing of what it forwards: what a third process on the way costs by
//! itself.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};

use crate::harness;

/// Forwards connections to `target` until standard input ends, on the runtime that makes a lone
/// round trip fastest.
pub(crate) fn run(target: SocketAddr) -> anyhow::Result<()> {
    harness::exit_with_stdin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(target))
}

async fn serve(target: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut client, _) = listener.accept().await?;
        let mut server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        // A connection that breaks ends; its generator reports the error.
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
    }
}
