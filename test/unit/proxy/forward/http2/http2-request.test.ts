/** The header section that a deployment gets. */
import { test } from 'tap'
import { BODY_NONE } from '../../../../../src/codec/http1/framing.ts'
import { HeaderField, INDEXED, NEVER, PLAIN } from '../../../../../src/codec/http2/header-field.ts'
import type { CallRequest } from '../../../../../src/proxy/forward/call-request.ts'
import { FieldList } from '../../../../../src/proxy/forward/http2/field-list.ts'
import { writeRequestSection } from '../../../../../src/proxy/forward/http2/http2-request.ts'
import { NO_FIELDS } from '../../../../../src/proxy/forward/message-fields.ts'
import { Endpoint } from '../../../../../src/proxy/pool/endpoint.ts'

const ENDPOINT = new Endpoint('h2c://127.0.0.1:8000')
const TENANT = new HeaderField('x-amt-tenant', 'acme', INDEXED)

function section(said: Partial<CallRequest>): readonly HeaderField[] {
  const request = {
    method: 'POST',
    host: 'a.example',
    target: '/orders',
    forwardedTarget: '/orders',
    hostField: undefined,
    targetField: undefined,
    upgrade: '',
    isConnect: false,
    kind: BODY_NONE,
    takesTrailers: false,
    expectsContinue: false,
    trailer: '',
    forwardedHops: '',
    authorization: '',
    apiKey: '',
    requestId: 'an-id',
    fields: NO_FIELDS,
    originFields: [],
    ...said,
  } as unknown as CallRequest
  const recipient = { tenant: TENANT, endpoint: ENDPOINT, apiKeyHeader: 'x-key' }
  return writeRequestSection(request, recipient, new FieldList())
}

function find(list: readonly HeaderField[], name: string): HeaderField | undefined {
  return list.find(field => field.name === name)
}

await test('host and target are handed on as the fields that they came in', async t => {
  const hostField = new HeaderField(':authority', 'a.example', NEVER)
  const targetField = new HeaderField(':path', '/orders', INDEXED)
  const list = section({ hostField, targetField })
  t.equal(find(list, ':authority'), hostField)
  t.equal(find(list, ':path'), targetField)
})

await test('where they say something else by now, they are not', async t => {
  const hostField = new HeaderField(':authority', 'b.example', NEVER)
  const targetField = new HeaderField(':path', '/orders?api_key=secret', INDEXED)
  const list = section({ hostField, targetField })
  t.match(find(list, ':authority'), { value: 'a.example', indexing: INDEXED })
  t.match(find(list, ':path'), { value: '/orders', indexing: PLAIN })
})

await test('who came by HTTP/1.1 has none', async t => {
  const list = section({})
  t.same(
    list.map(({ name, value }) => `${name}: ${value}`),
    [
      ':method: POST',
      ':authority: a.example',
      ':scheme: http',
      ':path: /orders',
      'x-amt-tenant: acme',
      'x-request-id: an-id',
    ],
  )
})
