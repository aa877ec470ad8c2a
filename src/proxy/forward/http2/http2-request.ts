/** Writes the header section of a request for a deployment that speaks HTTP/2 (RFC 9113 §8.3); identity fields are ours. */
import { BODY_LENGTH } from '../../../codec/http1/framing.ts'
import { originForm } from '../../../codec/http1/target.ts'
import { fieldName } from '../../../codec/http2/field-name.ts'
import { HeaderField, INDEXED, NEVER, PLAIN } from '../../../codec/http2/header-field.ts'
import type { Endpoint } from '../../pool/endpoint.ts'
import type { CallRequest } from '../call-request.ts'
import { fieldOf, lengthField } from '../message-fields.ts'
import { WEBSOCKET_KEY } from '../websocket.ts'
import type { FieldList } from './field-list.ts'

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

/** The whole section. */
export function writeRequestSection(
  request: CallRequest,
  { tenant, endpoint, apiKeyHeader }: SectionRecipient,
  list: FieldList,
): readonly HeaderField[] {
  list.begin()
  addPseudo(request, endpoint, list)
  const { fields, upgrade } = request
  for (const field of fields.list)
    if (upgrade === '' || field.name !== WEBSOCKET_KEY) list.add(field)
  if (request.kind === BODY_LENGTH) list.add(lengthField(request.length))
  if (request.takesTrailers) list.add(TE_TRAILERS)
  if (request.expectsContinue) list.add(EXPECT_CONTINUE)
  if (request.trailer !== '') list.add(fieldOf('trailer', request.trailer))
  if (request.forwardedHops !== '') list.add(fieldOf('max-forwards', request.forwardedHops))
  addCredentials(request, apiKeyHeader, list)
  list.add(tenant)
  list.addAll(request.originFields)
  list.add(new HeaderField(REQUEST_ID, request.requestId, PLAIN))
  return list.end()
}

function addPseudo(request: CallRequest, endpoint: Endpoint, list: FieldList): void {
  const { upgrade } = request
  // An upgrade of HTTP/1.1 is an extended CONNECT here (RFC 8441 §4).
  const method = upgrade === '' ? request.method : 'CONNECT'
  const host = request.host === '' ? endpoint.authority : request.host
  list.add(METHODS.get(method) ?? new HeaderField(':method', method, INDEXED))
  list.add(
    request.hostField?.value === host
      ? request.hostField
      : new HeaderField(':authority', host, INDEXED),
  )
  if (request.isConnect) return
  list.add(endpoint.tls ? HTTPS : HTTP)
  const target = originForm(request.method, request.forwardedTarget)
  list.add(
    request.targetField?.value === target
      ? request.targetField
      : new HeaderField(':path', target, PLAIN),
  )
  if (upgrade !== '') list.add(new HeaderField(':protocol', upgrade, INDEXED))
}

/** Credentials of the proxy's own end here. */
function addCredentials(request: CallRequest, apiKeyHeader: string, list: FieldList): void {
  const { authorization, apiKey } = request
  if (authorization === '' && apiKey === '') return
  const { forwardedAuthorization, forwardedApiKey } = request
  if (forwardedAuthorization !== '')
    list.add(new HeaderField('authorization', forwardedAuthorization, NEVER))
  if (forwardedApiKey !== '') list.add(new HeaderField(apiKeyHeader, forwardedApiKey, NEVER))
}
