/** Writes the head of a request for a deployment that speaks HTTP/1.1; framing, hop and identity fields are written anew. */
import { BODY_CHUNKED, BODY_LENGTH } from '../../../codec/http1/framing.ts'
import { originForm } from '../../../codec/http1/target.ts'
import type { Endpoint } from '../../pool/endpoint.ts'
import type { CallRequest } from '../call-request.ts'

/** A body is usual in these, so its absence is said (RFC 9110 §8.6). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH'])

export interface RequestRecipient {
  readonly tenant: string
  readonly endpoint: Endpoint
  /** Name of the field that API keys come in. */
  readonly apiKeyHeader: string
  /** Further lines, each with its CRLF. */
  readonly lines: string
}

/** The whole head. */
export function requestHeadText(request: CallRequest, to: RequestRecipient): string {
  const { method, requestId } = request
  const host = request.host === '' ? to.endpoint.authority : request.host
  return (
    `${method} ${originForm(method, request.forwardedTarget)} HTTP/1.1\r\nhost: ${host}\r\n${request.fields.lines}${framingLines(request)}` +
    `${optionLines(request)}${hopsLine(request)}${credentialLines(request, to.apiKeyHeader)}${to.lines}x-amt-tenant: ${to.tenant}\r\n` +
    `${request.originLines}${requestId}\r\n\r\n`
  )
}

function framingLines({ kind, length, trailer, method }: CallRequest): string {
  if (kind === BODY_LENGTH) return `content-length: ${length}\r\n`
  if (kind === BODY_CHUNKED)
    return `transfer-encoding: chunked\r\n${trailer === '' ? '' : `trailer: ${trailer}\r\n`}`
  return WITH_BODY.has(method) ? 'content-length: 0\r\n' : ''
}

function optionLines({ upgrade, takesTrailers, expectsContinue }: CallRequest): string {
  if (upgrade !== '') return `connection: upgrade\r\nupgrade: ${upgrade}\r\n`
  const te = takesTrailers ? 'connection: te\r\nte: trailers\r\n' : ''
  return expectsContinue ? `${te}expect: 100-continue\r\n` : te
}

function hopsLine({ forwardedHops }: CallRequest): string {
  return forwardedHops === '' ? '' : `max-forwards: ${forwardedHops}\r\n`
}

function credentialLines(request: CallRequest, apiKeyHeader: string): string {
  const { authorization, apiKey } = request
  // Nearly always, or they are the proxy's own.
  if (authorization === '' && apiKey === '') return ''
  const { forwardedAuthorization, forwardedApiKey } = request
  return (
    (forwardedAuthorization === '' ? '' : `authorization: ${forwardedAuthorization}\r\n`) +
    (forwardedApiKey === '' ? '' : `${apiKeyHeader}: ${forwardedApiKey}\r\n`)
  )
}
