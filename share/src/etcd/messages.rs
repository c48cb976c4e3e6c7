//! etcd's messages, as far as berth sends and reads them. The numbers are those of etcd's
//! `rpc.proto` and `kv.proto` (3.5; they are the same in 3.4 and 3.6).
//!
//! They are declared by hand, so that building berth needs no protoc.

use prost::{Message, Oneof};

use crate::registry::{Check, Entry, Found, Read, Transaction, Write};

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub limit: i64,
    #[prost(bool, tag = "8")]
    pub keys_only: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub lease: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteRangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Request {
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    #[prost(message, tag = "2")]
    Put(PutRequest),
    #[prost(message, tag = "3")]
    Delete(DeleteRangeRequest),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestOp {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub request: Option<Request>,
}

/// berth ignores the answers to puts and deletions.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseOp {
    #[prost(message, optional, tag = "1")]
    pub range: Option<RangeResponse>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Target {
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    #[prost(bytes, tag = "7")]
    Value(Vec<u8>),
}

/// `result` is EQUAL, which is 0.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Compare {
    /// CREATE is 1, VALUE is 3.
    #[prost(int32, tag = "2")]
    pub target: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    #[prost(oneof = "Target", tags = "5, 7")]
    pub union: Option<Target>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnResponse {
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeaseGrantRequest {
    #[prost(int64, tag = "1")]
    pub ttl: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeaseGrantResponse {
    #[prost(int64, tag = "2")]
    pub id: i64,
}

impl From<&Transaction> for TxnRequest {
    fn from(transaction: &Transaction) -> Self {
        Self {
            compare: transaction.checks.iter().map(Compare::from).collect(),
            success: transaction.writes.iter().map(RequestOp::from).collect(),
            failure: transaction.otherwise.iter().map(RequestOp::from).collect(),
        }
    }
}

/// Returns a transaction that only reads.
pub(super) fn reading(reads: &[Read]) -> TxnRequest {
    TxnRequest {
        success: reads.iter().map(RequestOp::from).collect(),
        ..TxnRequest::default()
    }
}

impl From<&Check> for Compare {
    fn from(check: &Check) -> Self {
        match check {
            // A key that is not there was created at revision 0.
            Check::Absent(key) => Self {
                target: 1,
                key: key.clone(),
                union: Some(Target::CreateRevision(0)),
            },
            Check::Is(key, value) => Self {
                target: 3,
                key: key.clone(),
                union: Some(Target::Value(value.clone())),
            },
        }
    }
}

impl From<&Write> for RequestOp {
    fn from(write: &Write) -> Self {
        let put = |key: &[u8], value: &[u8], lease| {
            Request::Put(PutRequest {
                key: key.to_vec(),
                value: value.to_vec(),
                lease,
            })
        };
        let request = match write {
            Write::Put(key, value) => put(key, value, 0),
            Write::PutLeased(key, value, lease) => put(key, value, *lease),
            Write::Delete(key) => Request::Delete(DeleteRangeRequest { key: key.clone() }),
        };
        Self {
            request: Some(request),
        }
    }
}

impl From<&Read> for RequestOp {
    fn from(read: &Read) -> Self {
        let span = |span: &crate::key::Span, limit: usize, keys_only| RangeRequest {
            key: span.first.clone(),
            range_end: span.end.clone(),
            // 0 is no limit.
            limit: i64::try_from(limit)
                .ok()
                .filter(|limit| *limit < i64::MAX)
                .unwrap_or(0),
            keys_only,
        };
        let range = match read {
            Read::Key(key) => RangeRequest {
                key: key.clone(),
                ..RangeRequest::default()
            },
            Read::Names(names, limit) => span(names, *limit, true),
            Read::Span(all, limit) => span(all, *limit, false),
        };
        Self {
            request: Some(Request::Range(range)),
        }
    }
}

impl From<ResponseOp> for Found {
    fn from(response: ResponseOp) -> Self {
        let range = response.range.unwrap_or_default();
        let entries = range.kvs.into_iter().map(|pair| Entry {
            key: pair.key,
            value: pair.value,
        });
        Self {
            entries: entries.collect(),
            more: range.more,
        }
    }
}
