// Package signtest checks the signatures of requests as the clouds check them, for the
// stand-ins that tests and the laptop use in place of a cloud: ACS3-HMAC-SHA256 of Alibaba Cloud
// and TC3-HMAC-SHA256 of Tencent Cloud.
//
// It is written from the clouds' descriptions of the receiving side and shares no code
// with the SDKs that sign: a stand-in that checked signatures with the signer's own code
// would accept whatever that code got wrong. A check fails with an *Error that carries the code that the
// cloud itself answers with.
package signtest
