/**
 * By which kind of evidence traffic was routed: `l4` a verified client certificate, `l7` a credential in the call,
 * `private` the address or name that it came to. `unroutable` traffic is refused and never part of usage.
 */
export const ROUTABILITIES = ['l4', 'l7', 'private', 'unroutable'] as const
export type Routability = (typeof ROUTABILITIES)[number]

/** Classes of an HTTP status in usage records and metrics; `none` for tunnels, which have no status. */
export const CODE_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const
export type CodeClass = (typeof CODE_CLASSES)[number]
