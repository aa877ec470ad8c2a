import { Metadata } from '@grpc/grpc-js'

/** Head and trailers of an answer: each has what the client sent as `x-echo` and `x-echo-bin`, and who answers. */
export function replyMetadata(
  received: Metadata,
  from: string,
): { readonly head: Metadata; readonly trailers: Metadata } {
  const head = new Metadata()
  const trailers = new Metadata()
  head.set('x-from', from)
  for (const value of received.get('x-echo')) {
    head.add('x-head', value)
    trailers.add('x-trailing', value)
  }
  for (const value of received.get('x-echo-bin')) trailers.add('x-trailing-bin', value)
  for (const name of ['x-amt-tenant', 'x-forwarded-proto', 'via', 'x-request-id', 'x-api-key'])
    for (const value of received.get(name)) trailers.add(`saw-${name}`, value)
  return { head, trailers }
}
