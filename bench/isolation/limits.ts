/** What a tenant may have: the same in every proxy, as far as it can be said there. Noise asks for ten times as much. */

/** Calls a second; so many at once. */
export const CALLS = 500
/** Calls under way, and connections to the deployment. */
export const CONCURRENCY = 100
/** Calls that wait for one of those connections, and for how long. */
export const PENDING = 100
export const PENDING_SECONDS = 1
/** Open connections from downstream, and new ones a second of one address. */
export const CONNECTIONS = 1_000
export const NEW_CONNECTIONS = 1_000
/** TLS handshakes a second. */
export const HANDSHAKES = 50
/** Bytes a second from downstream. */
export const INGRESS = 20 * 2 ** 20
/** Calls with a bad credential a second, of one address. */
export const BAD_CREDENTIALS = 100
/** Until a deployment begins its answer. */
export const RESPONSE_SECONDS = 30

/** By how much noise exceeds its limit. */
export const EXCESS = 10
