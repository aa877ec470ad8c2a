/**
 * By which kind of evidence traffic was routed: `l4` a verified client certificate, `l7` a credential in the call,
 * `private` the address or name that it came to. `unroutable` traffic is refused and never part of usage.
 */
export const ROUTABILITIES = ['l4', 'l7', 'private', 'unroutable'] as const
export type Routability = (typeof ROUTABILITIES)[number]

/**
 * What usage records and metrics say of how a call ended: the class of an HTTP status, or the status of a gRPC call;
 * `none` for tunnels, which have neither. In this order for ever: workers count by the position.
 */
export const CODE_CLASSES = [
  'none',
  '1xx',
  '2xx',
  '3xx',
  '4xx',
  '5xx',
  'grpc-0',
  'grpc-1',
  'grpc-2',
  'grpc-3',
  'grpc-4',
  'grpc-5',
  'grpc-6',
  'grpc-7',
  'grpc-8',
  'grpc-9',
  'grpc-10',
  'grpc-11',
  'grpc-12',
  'grpc-13',
  'grpc-14',
  'grpc-15',
  'grpc-16',
] as const
export type CodeClass = (typeof CODE_CLASSES)[number]

const GRPC_OK = CODE_CLASSES.indexOf('grpc-0')
const GRPC_UNKNOWN = CODE_CLASSES.indexOf('grpc-2')

/**
 * The position in `CODE_CLASSES` of a call that was answered with the HTTP `status`, 100 to 599, and where it is a gRPC call
 * with `grpcStatus`, which is then what counts; one that gRPC does not have (not 0 to 16) counts as UNKNOWN.
 */
export function codeClassOf(status: number, grpcStatus?: number): number {
  if (grpcStatus === undefined) return Math.floor(status / 100)
  return grpcStatus >= 0 && grpcStatus <= 16 ? GRPC_OK + grpcStatus : GRPC_UNKNOWN
}
