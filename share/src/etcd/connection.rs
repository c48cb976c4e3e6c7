//! One connection to one etcd: as much of gRPC over HTTP/2 as unary calls need.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;

/// The longest answer that is read. A thousand keys with their values take a few hundred KiB.
const LONGEST_ANSWER: usize = 16 << 20;

/// How much of an answer etcd may send before we have read any of it.
const WINDOW: u32 = 4 << 20;

/// Why a call has failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// Another endpoint, or the same one a little later, may succeed.
    Elsewhere(String),
    /// No endpoint will do it.
    Refused(String),
}

/// An open connection. It makes progress only while one of its calls is awaited.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    authority: String,
    scheme: &'static str,
}

impl Connection {
    /// Connects within `wait`, TLS included.
    pub(super) async fn open(
        endpoint: &Endpoint,
        tls: Option<Arc<ClientConfig>>,
        wait: Duration,
    ) -> Result<Self, CallError> {
        let address = endpoint.resolve(wait).map_err(CallError::Elsewhere)?;
        let opened = timeout(wait, async {
            let stream = TcpStream::connect(address)
                .await
                .map_err(|error| error.to_string())?;
            // Small requests are sent without delay.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else {
                return handshake(stream).await;
            };
            let name = ServerName::try_from(endpoint.host.clone());
            let name = name.map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(tls).connect(name, stream).await;
            handshake(stream.map_err(|error| error.to_string())?).await
        })
        .await;
        let sender = match opened {
            Ok(opened) => opened.map_err(CallError::Elsewhere)?,
            Err(_) => {
                let late = format!("no connection within {} ms", wait.as_millis());
                return Err(CallError::Elsewhere(late));
            }
        };
        Ok(Self {
            sender,
            authority: endpoint.to_string(),
            scheme: if endpoint.secure { "https" } else { "http" },
        })
    }

    /// Calls a method, as in `etcdserverpb.KV/Txn`, and waits for its answer no longer than
    /// `wait`.
    pub(super) async fn call<A: Message + Default>(
        &mut self,
        method: &str,
        question: &impl Message,
        wait: Duration,
    ) -> Result<A, CallError> {
        match timeout(wait, self.ask(method, question, wait)).await {
            Ok(answer) => answer,
            Err(_) => {
                let late = format!("no answer within {} ms", wait.as_millis());
                Err(CallError::Elsewhere(late))
            }
        }
    }

    async fn ask<A: Message + Default>(
        &mut self,
        method: &str,
        question: &impl Message,
        wait: Duration,
    ) -> Result<A, CallError> {
        let request = Request::post(format!("{}://{}/{method}", self.scheme, self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}m", wait.as_millis()))
            // Makes an etcd that sees no leader refuse at once.
            .header("hasleader", "true")
            .body(())
            .map_err(|error| CallError::Refused(error.to_string()))?;
        let mut sender = self.sender.clone().ready().await.map_err(lost)?;
        let (answer, mut body) = sender.send_request(request, false).map_err(lost)?;
        body.send_data(frame(question), true).map_err(lost)?;
        let (head, mut body) = answer.await.map_err(lost)?.into_parts();
        if head.status != 200 {
            let status = format!("it answers HTTP {}", head.status);
            return Err(CallError::Elsewhere(status));
        }
        // An answer that is only an error carries its status in the headers.
        check(&head.headers)?;
        let mut data = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(lost)?;
            let _ = body.flow_control().release_capacity(chunk.len());
            if data.len() + chunk.len() > LONGEST_ANSWER {
                return Err(CallError::Refused("its answer is too long".to_owned()));
            }
            data.extend_from_slice(&chunk);
        }
        if let Some(trailers) = body.trailers().await.map_err(lost)? {
            check(&trailers)?;
        }
        let cut = || CallError::Elsewhere("its answer is cut off".to_owned());
        let message = data.get(5..).filter(|_| data[0] == 0).ok_or_else(cut)?;
        A::decode(message).map_err(|error| CallError::Elsewhere(error.to_string()))
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Bytes>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    // The task ends with its sender, or with the runtime.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Puts a message into gRPC's frame: a byte for "not compressed", the length, the message.
fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("a question has some KiB"));
    message.encode(&mut frame).expect("there is room for it");
    frame.freeze()
}

fn lost(error: h2::Error) -> CallError {
    CallError::Elsewhere(error.to_string())
}

/// Reads gRPC's status. A call that lacked a quorum, a leader or time is worth another try.
fn check(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(status) = text("grpc-status") else {
        return Ok(());
    };
    let message = text("grpc-message").map_or_else(|| format!("status {status}"), plain);
    match status {
        "0" => Ok(()),
        "8" if message.contains("space exceeded") => Err(CallError::Refused(message)),
        // Cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal,
        // unavailable.
        "1" | "2" | "4" | "8" | "10" | "13" | "14" => Err(CallError::Elsewhere(message)),
        _ => Err(CallError::Refused(message)),
    }
}

/// Undoes the percent encoding of gRPC's messages.
fn plain(message: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = message.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_grpc_are_read() {
        assert_eq!(plain("etcdserver: no leader"), "etcdserver: no leader");
        assert_eq!(plain("50%25 of %C3%A9%"), "50% of é%");
    }

    #[test]
    fn only_what_another_try_can_change_is_tried_again() {
        let judged = |status: &str, message: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", status.parse().unwrap());
            headers.insert("grpc-message", message.parse().unwrap());
            match check(&headers) {
                Ok(()) => "fine",
                Err(CallError::Elsewhere(_)) => "elsewhere",
                Err(CallError::Refused(_)) => "refused",
            }
        };
        for (status, message, expected) in [
            ("0", "", "fine"),
            ("14", "etcdserver: no leader", "elsewhere"),
            ("8", "etcdserver: too many requests", "elsewhere"),
            ("8", "etcdserver: mvcc: database space exceeded", "refused"),
            ("7", "etcdserver: permission denied", "refused"),
            (
                "3",
                "etcdserver: duplicate key given in txn request",
                "refused",
            ),
        ] {
            assert_eq!(judged(status, message), expected, "{message}");
        }
    }
}
