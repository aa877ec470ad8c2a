import { test } from 'tap'
import { CODE_CLASSES, codeClassOf } from '../../../src/core/routability.ts'

const codeOf = (status: number, grpcStatus?: number): string | undefined =>
  CODE_CLASSES[codeClassOf(status, grpcStatus)]

await test('an HTTP call counts under the class of its status', t => {
  t.equal(CODE_CLASSES[0], 'none')
  for (const status of [100, 199, 200, 299, 304, 404, 499, 500, 599])
    t.equal(codeOf(status), `${String(status)[0]}xx`)
  t.end()
})

await test('a gRPC call counts under its own status, whatever HTTP says', t => {
  for (let status = 0; status <= 16; status++) {
    t.equal(codeOf(200, status), `grpc-${status}`)
    t.equal(codeOf(503, status), `grpc-${status}`)
  }
  for (const none of [-1, 17, 1_000, Number.NaN]) t.equal(codeOf(200, none), 'grpc-2', String(none))
  t.end()
})
