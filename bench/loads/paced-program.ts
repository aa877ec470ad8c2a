/**
 * The paced load itself: a program of its own, so that it can have the lowest priority. It never sleeps, because a timer
 * would be up to a millisecond late; whatever else wants its CPU (the deployment above all) gets it at once.
 * Its one argument is a file with `PacedSettings`; it prints a `PacedResult`. Exit code 1: an answer was wrong.
 */
import { readFileSync } from 'node:fs'
import { SeededRandom } from '../../test/support/seeded-random.ts'
import { Call, Caller } from '../harness/caller.ts'
import { scheduleOf } from '../harness/schedule.ts'
import type { PacedSettings } from './paced.ts'
import { PacedRun } from './paced-run.ts'

/** The same calls at the same times for every peer. */
const SEED = 4711
const { work, port, seconds, rate, connections } = JSON.parse(
  readFileSync(process.argv[2] ?? '', 'utf8'),
) as PacedSettings
const callers: Caller[] = []
for (let at = 0; at < connections; at += 1) callers.push(await Caller.open(work, port))
const calls = work.tenants.map(tenant => new Call(work, tenant))
const run = new PacedRun(calls, callers, scheduleOf(rate, seconds, new SeededRandom(SEED)))
console.log(JSON.stringify(await run.result()))
await Promise.all(callers.map(async caller => caller.close()))
