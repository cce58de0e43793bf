// Package callback speaks the callback protocol of Tencent Cloud Chat: it verifies a request, decodes the packet of a
// deleted friend, and gives the answer that Chat waits for. It knows nothing of rules or actions and is usable alone.
//
// A [Verifier] knows the apps and their tokens and reads one request; a [Handler] is the endpoint around it, which answers as
// Chat expects, bounded in time and memory; a [Server] is an HTTP server with the time-outs and bounds that a port on the open
// internet needs. [Parse] reads a callback again that was stored as it came.
//
// The protocol's pages: "After a Friend Is Deleted", "Webhook Overview" and "Webhook Configuration" in the vendor's
// documentation of Chat's callbacks.
package callback
