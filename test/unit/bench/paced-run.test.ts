/** A load that waited for a slow proxy before it went on would not see how slow it was: coordinated omission. */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type Test, test } from 'tap'
import { answerTo } from '../../../bench/deployments/deployment.ts'
import { Call, Caller } from '../../../bench/harness/caller.ts'
import { PacedRun } from '../../../bench/loads/paced-run.ts'

const WORK = { tls: undefined, field: 'x-api-key', path: '/' }
const CALLS = [new Call(WORK, { id: 't-1', credential: 'key' })]
const STALL_MS = 150

async function run(t: Test, onCall: RequestListener, due: number[]): Promise<PacedRun> {
  const server = createServer(onCall).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const caller = await Caller.open(WORK, port)
  t.teardown(async () => {
    await caller.close()
    server.close()
  })
  return new PacedRun(CALLS, [caller], Float64Array.from(due))
}

const right: RequestListener = (_call, answer) => {
  const body = answerTo('t-1', '')
  answer.writeHead(200, { 'content-length': body.length }).end(body)
}

await test('each call that is due is made, and none before its time', async t => {
  const made = await run(t, right, [0, 5, 40])
  const { calls, seconds } = await made.result()
  t.equal(calls, 3)
  t.ok(seconds >= 0.04, `${seconds} s`)
})

await test('a call that a stall kept waiting is measured from when it was due', async t => {
  let calls = 0
  const made = await run(
    t,
    (call, answer) => {
      calls += 1
      if (calls === 1) setTimeout(() => right(call, answer), STALL_MS)
      else right(call, answer)
    },
    [0, 1, 2, 3],
  )
  const { p50Ms, lateMs } = await made.result()
  t.ok(p50Ms >= STALL_MS - 10, `the second was due early, and answered after ${p50Ms} ms`)
  t.ok(lateMs < STALL_MS, 'that was not the fault of the load')
})

await test('a wrong answer ends the round', async t => {
  const made = await run(t, (_call, answer) => void answer.writeHead(503).end('no'), [0])
  await t.rejects(made.result(), { name: 'WrongAnswer' })
})
