/** What is acknowledged stays, and counts once, wherever the mixer is killed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import type { Ledger } from '../../../src/mixer/ledger/ledger.ts'
import { openLedger } from './open-ledger.ts'
import { NOON, record, report } from './reports.ts'

const CHILD = new URL('applying-child.ts', import.meta.url).pathname

/** `url` of a new ledger, as in the configuration. */
export async function testKilled(t: Test, url: string): Promise<void> {
  let durable = 0
  for (const acknowledgements of [1, 7, 30]) {
    const acknowledged = await applyUntilKilled(url, durable + 1, acknowledgements)
    const ledger = await openLedger(url)
    t.ok(acknowledged > durable)
    durable = await highWater(ledger, acknowledged)
    const usage = await ledger.usage({ from: 0, to: NOON * 2, dimensions: ['tenant'], limit: 10 })
    if (usage.kind !== 'usage') throw new Error(usage.kind)
    const sums = usage.groups.map(group => group.sums.egress)
    const once = BigInt(durable * record().egress)
    t.same(sums, [once, once], 'the ledger holds what is durable')
    await ledger.close()
  }
}

/** The last sequence that the child acknowledged before it was killed, at a random moment after `count` of them. */
async function applyUntilKilled(url: string, from: number, count: number): Promise<number> {
  const child = spawn(process.execPath, [CHILD, url, String(from)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let lines = 0
  child.stdout.on('data', (chunk: Buffer) => {
    lines += chunk.toString().split('\n').length - 1
    if (lines >= count) child.kill('SIGKILL')
  })
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  return Number(output.trimEnd().split('\n').at(-1))
}

/** Where the ledger stands: at what was acknowledged, or one further, if its answer was on the way. */
async function highWater(ledger: Ledger, acknowledged: number): Promise<number> {
  const repeated = await ledger.apply(report(acknowledged))
  const next = repeated.kind === 'repeated' ? repeated.durable : Number.NaN
  if (next !== acknowledged && next !== acknowledged + 1)
    throw new Error(`acknowledged ${acknowledged}, durable ${next}`)
  return next
}
