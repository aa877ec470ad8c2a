import { RequestHead } from '../../src/codec/http1/request-head.ts'
import { CallRequest } from '../../src/proxy/forward/call-request.ts'
import type { Downstream } from '../../src/proxy/forward/downstream.ts'
import { ForwardedFields } from '../../src/proxy/forward/fields.ts'
import { requestHeadText } from '../../src/proxy/forward/http1/http1-request.ts'
import { OriginMemo } from '../../src/proxy/forward/origin-memo.ts'
import { Endpoint } from '../../src/proxy/pool/endpoint.ts'
import type { WorkerContext } from '../../src/proxy/worker/context.ts'
import type { MicroBench, Run } from './measure.ts'
import { REQUEST } from './messages.ts'

export const benches: readonly MicroBench[] = [
  { name: 'http1-request-one-tenant', prepare: () => write(['t-0001']) },
  { name: 'http1-request-two-tenants', prepare: () => write(['t-0001', 't-0002']) },
]

/** Takes over a head that was read, and writes the one for the deployment; as flat text, which is what a socket needs. */
function write(tenants: readonly string[]): Run {
  const fields = new ForwardedFields('x-api-key')
  let ids = 0
  const context = {
    fields,
    config: {
      service: { name: 'orders' },
      authentication: { forwardCredentials: false, apiKey: { header: 'x-api-key' } },
    },
    nextRequestId: () => `bench-${(ids += 1)}`,
  } as unknown as WorkerContext
  const downstream = {
    peerAddress: '192.0.2.1',
    openedAt: 0,
    secure: false,
    trusted: false,
    clientCertificate: '',
    evidence: { ownsAuthorization: false, ownsApiKey: true },
  } as unknown as Downstream
  const head = new RequestHead(fields.request)
  if (head.read(REQUEST, 0, REQUEST.length) !== REQUEST.length) throw new Error(head.error)
  const request = new CallRequest(context)
  request.serve(downstream, new OriginMemo(downstream, { received: '1.1', pseudonym: 'bench' }))
  const endpoint = new Endpoint('http://127.0.0.1:9')
  const out = Buffer.alloc(4_096)
  return times => {
    let length = 0
    for (let time = 0; time < times; time += 1) {
      request.take(head)
      const tenant = tenants[time % tenants.length] as string
      length = out.write(
        requestHeadText(request, { tenant, endpoint, apiKeyHeader: 'x-api-key', lines: '' }),
        'latin1',
      )
    }
    const text = out.toString('latin1', 0, length)
    if (!text.startsWith('GET /v1/orders/4711 HTTP/1.1\r\n') || text.includes('amt_bench'))
      throw new Error(`wrote ${text}`)
  }
}
