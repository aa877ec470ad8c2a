/** Handing over: one upgrade at a time, and none that ends this proxy instead. */
import { test } from 'tap'
import {
  Handover,
  type HandoverOptions,
} from '../../../../../src/proxy/primary/upgrade/handover.ts'
import type { Command } from '../../../../../src/proxy/primary/upgrade/successor.ts'
import { LogLines } from '../../../../support/log-lines.ts'

const NONE: Command = { program: '/nowhere/amt', args: [] }

function newHandover(change: Partial<HandoverOptions> = {}): Handover {
  return new Handover({
    logger: new LogLines().logger,
    self: NONE,
    obstacle: () => undefined,
    sockets: async () => [],
    inheritance: () => ({ journal: '/nowhere', tickets: [] }),
    succeeded: () => {},
    letGo: async () => ({ producers: [] }),
    drain: () => {},
    ...change,
  })
}

await test('of two that ask in the same moment only one is served', async t => {
  const handover = newHandover()
  const [first, second] = await Promise.all([handover.upgrade(), handover.upgrade()])
  t.match(first, { ok: false, problems: [/it cannot be started/] })
  t.match(second, { ok: false, problems: ['no upgrade now: an upgrade is under way'] })
  t.match(await handover.upgrade(), { problems: [/it cannot be started/] }, 'and then another may')
})

await test('a program that the system does not even try to start is a problem, not an end', async t => {
  const handover = newHandover()
  for (let time = 0; time < 2; time += 1)
    t.match(await handover.upgrade({ program: '/nowhere/a\0b', args: [] }), {
      ok: false,
      problems: [/^the new version cannot be started: /],
      exitCode: 1,
    })
})

await test('who is in charge is said before anything is let go, and before the end begins', async t => {
  const order: string[] = []
  const handover = newHandover({
    succeeded: pid => order.push(`succeeded by ${pid}`),
    letGo: async () => {
      order.push('let go')
      return { producers: [] }
    },
    drain: () => order.push('drain'),
  })
  const script =
    'process.on("message", m => process.send({ kind: "serving" })); process.on("disconnect", () => {}); process.send({ kind: "hello", protocol: 1 })'
  const result = await handover.upgrade({ program: process.execPath, args: ['-e', script] })
  await handover.release()
  t.match(result, { ok: true })
  t.same(order, [`succeeded by ${result.ok && result.pid}`, 'let go', 'drain'])
})
