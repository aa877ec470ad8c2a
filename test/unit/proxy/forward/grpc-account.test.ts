import { test } from 'tap'
import { tenantSchema } from '../../../../src/config/tenant-schema.ts'
import { GrpcAccount } from '../../../../src/proxy/forward/grpc-account.ts'
import { MessageFields } from '../../../../src/proxy/forward/message-fields.ts'
import { UsageMeter, type UsageRow } from '../../../../src/proxy/metering/usage-meter.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

/** Fields that say `status`, or '' for none that do. */
function says(status: string): MessageFields {
  const fields = new MessageFields()
  fields.setLines(status === '' ? 'x-other: 1\r\n' : `Grpc-Status: ${status}\r\n`)
  return fields
}

const MESSAGE = Buffer.of(0, 0, 0, 0, 1, 0xff)

await test('the status is OK until the answer says it, and unknown where it never does', t => {
  const account = new GrpcAccount()
  t.equal(account.begin().status, 0)
  account.answerBegins(says(''))
  t.equal(account.status, 0, 'a head without one')
  account.answerEnds(says('5'))
  t.equal(account.status, 5, 'trailers')

  account.begin().answerBegins(says(''))
  account.answerEnds(says(''))
  t.equal(account.status, 2, 'neither')

  account.begin().answerBegins(says('16'))
  t.equal(account.status, 16, 'trailers-only')
  account.answerEnds(says(''))
  t.equal(account.status, 16)

  account.begin().answerEnds(says('17'))
  t.equal(account.status, 2, 'one that there is not')

  account.begin().endsWith(4)
  t.equal(account.status, 4, 'the proxy says it')
  t.end()
})

await test('each message counts once, under the row of its time', t => {
  const clock = new FakeClock(0)
  const meter = new UsageMeter(['place'], ['public'], clock)
  const tenant = Tenant.of(
    0,
    tenantSchema.parse({ id: 'acme', deployment: { endpoints: ['http://127.0.0.1:1'] } }),
  )
  const row = (codeClass: number): UsageRow =>
    meter.row(tenant, 0, 'l7', { operation: 0, codeClass })
  const [ok, failed] = [row(6), row(8)]
  const account = new GrpcAccount().begin()
  account.count(meter, ok)
  t.same(meter.take(), [], 'nothing has passed')
  account.requests.pass(MESSAGE, 0, 6)
  account.answers.pass(MESSAGE, 0, 6)
  account.answers.pass(MESSAGE, 0, 5)
  account.count(meter, ok)
  account.count(meter, ok)
  account.answers.pass(MESSAGE, 5, 6)
  account.count(meter, failed)
  t.match(meter.take(), [
    { code: 'grpc-0', requestMessages: 1, responseMessages: 1, calls: 0 },
    { code: 'grpc-2', requestMessages: 0, responseMessages: 1 },
  ])
  account.begin().requests.pass(MESSAGE, 0, 6)
  account.count(meter, ok)
  t.match(meter.take(), [{ code: 'grpc-0', requestMessages: 1 }], 'the next call')
  t.end()
})
