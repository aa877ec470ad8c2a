/** A new version that does not take over, for whatever reason, is ended, and the reason is said. */
import { test } from 'tap'
import { Successor } from '../../../../../src/proxy/primary/upgrade/successor.ts'

const NOTHING = { journal: '/nowhere', tickets: [] }

/** What becomes of a program of one line. */
async function outcomeOf(script: string, timeoutMs = 60_000): Promise<string> {
  const command = { program: process.execPath, args: ['-e', script] }
  const outcome = await new Successor(command, [], NOTHING, timeoutMs).outcome
  return outcome.ok ? 'serves' : `${outcome.exitCode}: ${outcome.problems.join('; ')}`
}

const PREFIX = '1: the new version does not take over:'
const STAY = 'setInterval(() => {}, 1000)'

await test('one that crashes', async t => {
  t.equal(await outcomeOf('process.exit(3)'), `${PREFIX} it ended before it served (exit code 3)`)
})

await test('one that is killed', async t => {
  const killed = await outcomeOf('process.kill(process.pid, "SIGKILL")')
  t.equal(killed, `${PREFIX} it ended before it served (SIGKILL)`)
})

await test('a program that is not there', async t => {
  const successor = new Successor({ program: '/no/such/program', args: [] }, [], NOTHING)
  t.match(await successor.outcome, { ok: false, problems: [/cannot be started: .*ENOENT/] })
})

await test('one that says nothing', async t => {
  t.equal(await outcomeOf(STAY, 200), `${PREFIX} it does not serve after 0.2 s`)
})

await test('one that hands over in another form', async t => {
  const hello = 'process.send({ kind: "hello", protocol: 99 });'
  t.match(await outcomeOf(hello + STAY), /it takes over in another way/)
})

await test('one that says why not', async t => {
  const failed = 'process.send({ kind: "failed", problems: ["a", "b"], exitCode: 2 });'
  t.equal(await outcomeOf(failed + STAY), '2: a; b')
})

await test('one that serves is not ended by that, and gets what follows', async t => {
  const script =
    'process.on("message", m => { if (m.kind === "begin") process.send({ kind: "serving" }); if (m.kind === "gone") process.exit() }); process.send({ kind: "hello", protocol: 1 })'
  const successor = new Successor({ program: process.execPath, args: ['-e', script] }, [], NOTHING)
  t.match(await successor.outcome, { ok: true })
  successor.handOver({ producers: ['one'] })
  successor.gone('one')
  await successor.release()
})
