/** Writes the header section of a request for a deployment that speaks HTTP/2 (RFC 9113 §8.3); identity fields are ours. */
import { BODY_LENGTH } from '../../../codec/http1/framing.ts'
import { originForm } from '../../../codec/http1/target.ts'
import { fieldName } from '../../../codec/http2/field-name.ts'
import { HeaderField, INDEXED, NEVER, PLAIN } from '../../../codec/http2/header-field.ts'
import type { Endpoint } from '../../pool/endpoint.ts'
import type { CallRequest } from '../call-request.ts'
import { fieldOf, lengthField } from '../message-fields.ts'
import { WEBSOCKET_KEY } from '../websocket.ts'
import { emptyList } from './section-fields.ts'

const REQUEST_ID = fieldName('x-request-id')
const METHODS: ReadonlyMap<string, HeaderField> = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'CONNECT'].map(method => [
    method,
    new HeaderField(':method', method, INDEXED),
  ]),
)
const HTTP = new HeaderField(':scheme', 'http', INDEXED)
const HTTPS = new HeaderField(':scheme', 'https', INDEXED)
const TE_TRAILERS = new HeaderField('te', 'trailers', INDEXED)
const EXPECT_CONTINUE = new HeaderField('expect', '100-continue', INDEXED)

export interface SectionRecipient {
  /** `x-amt-tenant`. */
  readonly tenant: HeaderField
  readonly endpoint: Endpoint
  /** Name of the field that API keys come in. */
  readonly apiKeyHeader: string
}

/** The whole section, into `list`. */
export function writeRequestSection(
  request: CallRequest,
  { tenant, endpoint, apiKeyHeader }: SectionRecipient,
  list: HeaderField[],
): void {
  emptyList(list)
  pushPseudo(request, endpoint, list)
  const { fields, upgrade } = request
  for (const field of fields.list)
    if (upgrade === '' || field.name !== WEBSOCKET_KEY) list.push(field)
  if (request.kind === BODY_LENGTH) list.push(lengthField(request.length))
  if (request.takesTrailers) list.push(TE_TRAILERS)
  if (request.expectsContinue) list.push(EXPECT_CONTINUE)
  if (request.trailer !== '') list.push(fieldOf('trailer', request.trailer))
  if (request.forwardedHops !== '') list.push(fieldOf('max-forwards', request.forwardedHops))
  pushCredentials(request, apiKeyHeader, list)
  list.push(tenant)
  for (const field of request.originFields) list.push(field)
  list.push(new HeaderField(REQUEST_ID, request.requestId, PLAIN))
}

function pushPseudo(request: CallRequest, endpoint: Endpoint, list: HeaderField[]): void {
  const { upgrade } = request
  // An upgrade of HTTP/1.1 is an extended CONNECT here (RFC 8441 §4).
  const method = upgrade === '' ? request.method : 'CONNECT'
  const host = request.host === '' ? endpoint.authority : request.host
  list.push(METHODS.get(method) ?? new HeaderField(':method', method, INDEXED))
  list.push(
    request.hostField?.value === host
      ? request.hostField
      : new HeaderField(':authority', host, INDEXED),
  )
  if (request.isConnect) return
  list.push(endpoint.tls ? HTTPS : HTTP)
  const target = originForm(request.method, request.forwardedTarget)
  list.push(
    request.targetField?.value === target
      ? request.targetField
      : new HeaderField(':path', target, PLAIN),
  )
  if (upgrade !== '') list.push(new HeaderField(':protocol', upgrade, INDEXED))
}

/** Credentials of the proxy's own end here. */
function pushCredentials(request: CallRequest, apiKeyHeader: string, list: HeaderField[]): void {
  const { authorization, apiKey } = request
  if (authorization === '' && apiKey === '') return
  const { forwardedAuthorization, forwardedApiKey } = request
  if (forwardedAuthorization !== '')
    list.push(new HeaderField('authorization', forwardedAuthorization, NEVER))
  if (forwardedApiKey !== '') list.push(new HeaderField(apiKeyHeader, forwardedApiKey, NEVER))
}
