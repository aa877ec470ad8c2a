/** What this process does with its time and its memory, in the forms that the developer tools of Chrome open. */
import { Session } from 'node:inspector/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { getHeapSnapshot, getHeapStatistics } from 'node:v8'

/** How often it is looked what is being done. */
const SAMPLE_US = 1_000
const PIECE_CHARS = 256 * 1024

/** `cpu`: for so many ms; `heap`: where it takes no more than so many bytes, as the process stands still meanwhile. */
export type ProfileRequest =
  | { readonly what: 'cpu'; readonly ms: number }
  | { readonly what: 'heap'; readonly most: number }

/** Pieces of the text. Rejects where it cannot be made; whoever leaves early, or aborts, ends it. */
export async function* takeProfile(
  request: ProfileRequest,
  signal: AbortSignal,
): AsyncGenerator<string> {
  yield* request.what === 'cpu' ? cpuProfile(request.ms, signal) : heapSnapshot(request.most)
}

async function* cpuProfile(ms: number, signal: AbortSignal): AsyncGenerator<string> {
  const session = new Session()
  session.connect()
  try {
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US })
    await session.post('Profiler.start')
    await pause(ms, undefined, { signal })
    const { profile } = await session.post('Profiler.stop')
    const text = JSON.stringify(profile)
    for (let at = 0; at < text.length; at += PIECE_CHARS) yield text.slice(at, at + PIECE_CHARS)
  } finally {
    session.disconnect()
  }
}

async function* heapSnapshot(most: number): AsyncGenerator<string> {
  const { used_heap_size: used } = getHeapStatistics()
  if (used > most)
    throw new Error(
      `the heap has ${mebibytes(used)} MiB, and max is ${mebibytes(most)} MiB: the process stands still for about a second for each 100 MiB`,
    )
  const snapshot = getHeapSnapshot().setEncoding('utf8')
  let text = ''
  for await (const piece of snapshot as AsyncIterable<string>) {
    text += piece
    if (text.length < PIECE_CHARS) continue
    yield text
    text = ''
  }
  yield text
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2)
}
