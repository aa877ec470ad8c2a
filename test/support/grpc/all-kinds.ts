/** A call of each kind, with metadata both ways, and each way in which one ends. */
import { status } from '@grpc/grpc-js'
import type { Test } from 'tap'
import type { GrpcClient, GrpcFields } from './client.ts'
import type { GrpcDeployment } from './service.ts'

const BIG = Buffer.alloc(1024 * 1024, 'big')
const MESSAGES = Array.from({ length: 50 }, (_, index) => Buffer.from(`message ${index};`))

/** What must hold, whoever stands between the two. */
export async function allKinds(
  t: Test,
  client: GrpcClient,
  deployment: GrpcDeployment,
  fields: GrpcFields = {},
): Promise<void> {
  const metadata = { ...fields, 'x-echo': ['one', 'two'], 'x-echo-bin': Buffer.of(0, 255, 128) }
  const meta = (outcome: Awaited<ReturnType<GrpcClient['unary']>>): void => {
    t.equal(outcome.code, status.OK, outcome.details)
    t.same(outcome.head.get('x-from'), [deployment.name])
    t.same(outcome.head.get('x-head').join(', '), 'one, two')
    t.same(outcome.trailers.get('x-trailing').join(', '), 'one, two')
    t.same(outcome.trailers.get('x-trailing-bin'), [Buffer.of(0, 255, 128)])
  }

  await t.test('unary', async t => {
    for (const message of [Buffer.from('hello'), Buffer.alloc(0), BIG]) {
      const outcome = await client.unary(message, metadata)
      meta(outcome)
      t.ok(outcome.messages[0]?.equals(message), `${message.length} octets`)
    }
  })
  await t.test('client streaming', async t => {
    const outcome = await client.collect(MESSAGES, metadata)
    meta(outcome)
    t.equal(outcome.messages.join(), MESSAGES.join(''))
  })
  await t.test('server streaming', async t => {
    const outcome = await client.repeat(Buffer.from('Zebra'), metadata)
    meta(outcome)
    t.same(
      outcome.messages.map(String),
      Array.from({ length: 'Z'.charCodeAt(0) }, () => 'Zebra'),
    )
  })
  await t.test('both ways at once', async t => {
    const { stream, outcome } = client.chat(metadata)
    for (const message of MESSAGES) {
      stream.write(message)
      await new Promise(resolve => stream.once('data', resolve))
    }
    stream.end()
    meta(await outcome)
    t.same((await outcome).messages.map(String), MESSAGES.map(String))
  })
  await t.test('statuses', async t => {
    for (const [name, code] of Object.entries(status)) {
      if (typeof code !== 'number' || code === status.OK) continue
      const details = `${name}: because of ü, 100 % and\nmore`
      const outcome = await client.call('fail', JSON.stringify({ code, details }), metadata)
      t.same([outcome.code, outcome.details], [code, details])
      t.same(outcome.trailers.get('x-trailing').join(', '), 'one, two')
    }
    const unknown = await client.unknown(metadata)
    t.equal(unknown.code, status.UNIMPLEMENTED)
  })
  await t.test('a call that the client cancels is cancelled at the deployment', async t => {
    const { stream, outcome } = client.chat(metadata)
    const call = await deployment.opened()
    stream.cancel()
    await call.cancelled
    t.equal((await outcome).code, status.CANCELLED)
  })
}
