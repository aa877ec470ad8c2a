/**
 * The HTTP/2 sessions of the codec, as server and as client. What a valid end sends is read the same however it is cut; so is
 * what damage makes of it, until the session ends, with a code that RFC 9113 allows there: see `http2-rules.ts`.
 */
import fc from 'fast-check'
import { t as root, test } from 'tap'
import { CONTINUATION } from '../../src/codec/http2/frame.ts'
import { CLIENT_PREFACE } from '../../src/codec/http2/frame-writer.ts'
import type { SessionOptions } from '../../src/codec/http2/session-options.ts'
import { budgetMs, SEED, Search, timeoutMs } from '../support/fuzz/budget.ts'
import { bytesInPieces, caseLine, mutateFrames } from '../support/fuzz/http2-mutate.ts'
import {
  difference,
  NARROW,
  type Reading,
  readAsClient,
  readAsServer,
  WIDE,
} from '../support/fuzz/http2-reading.ts'
import { CODES, ruling } from '../support/fuzz/http2-rules.ts'
import { clientSessions, type MadeSession, serverSessions } from '../support/fuzz/http2-sessions.ts'
import { MemoryWatch } from '../support/fuzz/memory.ts'
import { cutsOf } from '../support/http1/every-split.ts'
import { framesBytes } from '../support/http2/wire-frames.ts'
import { SeededRandom } from '../support/seeded-random.ts'

root.setTimeout(timeoutMs('http2-frames'))
/** A search that finds more than this has found one fault very often. */
const MAX_FINDINGS = 5
const WARM = 500
/** Every split of a session costs a hundred times what the rest of a case does. */
const EVERY_SPLIT = 0.02
/** Nobody makes us keep more than a few times what they send; a short beginning has our greeting in it. */
const MOST_WAITING = { times: 8, more: 4_096 }

const SIDES = {
  server: {
    sessions: clientSessions,
    bytes: (frames: Buffer) => Buffer.concat([CLIENT_PREFACE, frames]),
    read: (pieces: readonly Buffer[], _streams: number, options?: SessionOptions) =>
      readAsServer(pieces, options),
  },
  client: {
    sessions: serverSessions,
    bytes: (frames: Buffer) => frames,
    read: readAsClient,
  },
} as const
type Side = keyof typeof SIDES

/** Cut in two everywhere, byte by byte, and in random pieces: what differs from the whole, or ''. */
function splitFault(bytes: Buffer, read: (pieces: readonly Buffer[]) => Reading): string {
  const whole = read([bytes])
  const single = Array.from(bytes, byte => Buffer.of(byte))
  const ways = cutsOf(bytes.length).map(cut => [bytes.subarray(0, cut), bytes.subarray(cut)])
  for (const way of [single, ...ways]) {
    const differs = difference(whole, read(way))
    if (differs !== '') return `cut at ${way[0]?.length}: ${differs}`
  }
  return ''
}

/** What is wrong with how a session ended, or ''. */
function endFault(bytes: Buffer, side: Side, streams: number, reading: Reading): string {
  const { failure, sent, mostWaiting, windows, octets, said } = reading
  const { must, may, at } = ruling(bytes, { role: side, streams, options: WIDE })
  if (must.length > 0 && failure < 0) return `goes on behind ${at}`
  if (failure >= 0 && !must.includes(failure) && !may.has(failure) && !isFlood(failure, said))
    return `ends with ${failure}, not ${must.join(' or ')} at ${at}`
  const last = sent.at(-1)
  if (failure >= 0 && (last?.type !== 7 || last.payload.readUInt32BE(4) !== failure))
    return 'the last frame is no GOAWAY that says so'
  if (mostWaiting > MOST_WAITING.times * bytes.length + MOST_WAITING.more)
    return `${mostWaiting} octets wait for ${bytes.length}`
  for (const [id, opened] of windows) {
    const greeting = id === 0 ? WIDE.sessionWindow : 0
    if (opened > greeting + octets + bytes.length) return `the window of ${id} opened by ${opened}`
  }
  return ''
}

/** Every octet of a stream's frames counts for it, and no other does. */
function countFault({ frames }: MadeSession, { received }: Reading): string {
  for (const [id, octets] of received) {
    const own = frames.filter(({ streamId, type }) => streamId === id && type <= CONTINUATION)
    const sum = own.reduce((all, { payload }) => all + 9 + payload.length, 0)
    if (octets !== sum) return `${octets} octets of stream ${id}, not ${sum}`
  }
  return ''
}

/** Of many that were reset. */
function isFlood(failure: number, said: readonly string[]): boolean {
  return failure === CODES.ENHANCE_YOUR_CALM && said.length > WIDE.resetBudget.burst
}

function attempt(fault: () => string): string {
  try {
    return fault()
  } catch (error) {
    return error instanceof Error ? String(error.stack) : String(error)
  }
}

for (const side of ['server', 'client'] as const) {
  const { sessions, bytes: bytesWith, read } = SIDES[side]

  await test(`a ${side} reads what a valid end sends, the same at every split`, async t => {
    t.comment(`FUZZ_SEED=${SEED}`)
    let streams = 0
    fc.assert(
      fc.property(sessions, made => {
        const bytes = bytesWith(framesBytes(made.frames))
        const reading = read([bytes], made.streams, NARROW)
        if (reading.failure >= 0) throw new Error(String(reading.said.at(-1)))
        const fault =
          splitFault(bytes, pieces => read(pieces, made.streams, NARROW)) ||
          endFault(bytes, side, made.streams, reading) ||
          countFault(made, reading)
        if (fault !== '') throw new Error(fault)
        streams += made.streams
      }),
      {
        seed: SEED,
        numRuns: 10_000_000,
        interruptAfterTimeLimit: budgetMs('http2-frames') * 0.2,
        markInterruptAsFailure: false,
      },
    )
    t.comment(`${streams} streams`)
    t.ok(streams > 0)
  })

  await test(`a ${side} reads what damage leaves in one way, and ends with the right code`, async t => {
    const random = SeededRandom.fork(SEED, side === 'server' ? 11 : 12)
    const corpus = fc.sample(sessions, { seed: SEED, numRuns: 200 })
    const memory = new MemoryWatch()
    const search = new Search(`HTTP/2 ${side}`, budgetMs('http2-frames') * 0.3, line =>
      t.comment(line),
    )
    let [ended, went, findings] = [0, 0, 0]
    const codes = new Set<number>()
    const state = (): string => `${ended} ended, with ${[...codes].join(', ')}; ${went} went on`
    while (findings < MAX_FINDINGS && search.next(state)) {
      if (search.cases === WARM) memory.begin()
      const { frames, streams } = random.pick<MadeSession>(corpus)
      const damaged = bytesWith(mutateFrames(random, frames, random.pick(corpus).frames))
      const fault = attempt(() => {
        const reading = read([damaged], streams)
        if (reading.failure < 0) went++
        else {
          ended++
          codes.add(reading.failure)
        }
        const inPieces = read(bytesInPieces(random, damaged), streams)
        return (
          difference(reading, inPieces) ||
          endFault(damaged, side, streams, reading) ||
          (random.chance(EVERY_SPLIT) ? splitFault(damaged, pieces => read(pieces, streams)) : '')
        )
      })
      if (fault === '') continue
      findings++
      t.fail(`${fault}: ${streams} streams, ${caseLine(damaged)}`)
    }
    t.ok(ended > 0 && went > 0, 'saw both')
    t.ok(codes.has(CODES.PROTOCOL_ERROR) && codes.has(CODES.FRAME_SIZE_ERROR), 'saw several codes')
    if (search.cases > 2 * WARM) t.equal(memory.growth(), 0, 'no memory is left')
  })
}
