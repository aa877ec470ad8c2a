/** Small calls over HTTP/2: what is sent as each tenant, and what must come back. */
import { HeaderField, INDEXED, PLAIN } from '../../src/codec/http2/header-field.ts'
import { answerTo } from '../deployments/deployment.ts'
import type { Work, WorkTenant } from './work.ts'

/** Methods of gRPC that the deployment serves. */
export const UNARY_PATH = '/orders.v1.Orders/Read'
export const STREAMING_PATH = '/orders.v1.Orders/Talk'

/** Not compressed, and the length of what follows (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5
const UNARY_MESSAGE_BYTES = 100

/** A message as it stands in DATA frames. */
export function grpcMessage(payload: Buffer): Buffer {
  const message = Buffer.alloc(PREFIX_BYTES + payload.length)
  message.writeUInt32BE(payload.length, 1)
  payload.copy(message, PREFIX_BYTES)
  return message
}

/** What is sent to the unary method: anything, as long as the deployment can tell whether it is whole. */
export const UNARY_REQUEST: Buffer = grpcMessage(Buffer.alloc(UNARY_MESSAGE_BYTES, 'order 4711 '))

export interface Http2Call {
  readonly tenant: string
  readonly fields: readonly HeaderField[]
  /** Empty where there is none. */
  readonly body: Buffer
  readonly answer: Buffer
  /** Whether the answer ends with trailers that say `grpc-status: 0`. */
  readonly grpc: boolean
}

/** A call as each of the tenants, in their order. */
export function http2CallsOf(work: Work): Http2Call[] {
  return work.tenants.map(tenant => http2CallAs(work, tenant))
}

/** A call with a credential of nobody. */
export function foreignHttp2Call(work: Work): Http2Call {
  return http2CallAs(work, { id: 'nobody', credential: work.foreignCredential })
}

function http2CallAs(work: Work, tenant: WorkTenant): Http2Call {
  const answer = Buffer.from(answerTo(tenant.id, ''))
  if (work.lane.traffic !== 'grpc')
    return {
      tenant: tenant.id,
      fields: fieldsOf(work, tenant, [
        ['method', 'GET'],
        ['path', work.path],
      ]),
      body: Buffer.alloc(0),
      answer,
      grpc: false,
    }
  return {
    tenant: tenant.id,
    fields: grpcFields(work, tenant, UNARY_PATH),
    body: UNARY_REQUEST,
    answer: grpcMessage(answer),
    grpc: true,
  }
}

/** As grpc-js sends them. */
export function grpcFields(work: Work, tenant: WorkTenant, path: string): HeaderField[] {
  return [
    ...fieldsOf(work, tenant, [
      ['method', 'POST'],
      ['path', path],
    ]),
    new HeaderField('te', 'trailers', INDEXED),
    new HeaderField('content-type', 'application/grpc', INDEXED),
    new HeaderField('grpc-accept-encoding', 'identity,deflate,gzip', INDEXED),
  ]
}

function fieldsOf(
  { field, lane }: Pick<Work, 'field' | 'lane'>,
  { credential }: WorkTenant,
  pseudo: readonly (readonly [name: string, value: string])[],
): HeaderField[] {
  // A hundred tokens are more than any table of HPACK holds: to index them would only push out all else, call by call.
  const indexing = lane.credential === 'jwt' ? PLAIN : INDEXED
  return [
    ...pseudo.map(([name, value]) => new HeaderField(`:${name}`, value, INDEXED)),
    new HeaderField(':scheme', 'http', INDEXED),
    new HeaderField(':authority', 'bench', INDEXED),
    new HeaderField('user-agent', 'bench/1.0', INDEXED),
    new HeaderField(field, credential, indexing),
  ]
}
