/**
 * Load by wrk, and the proof that all answers of a round were right without looking at each of them:
 * - wrk counts connections that fail, time out or are cut, and every answer whose status is not 2xx or 3xx;
 * - a sample of calls beside it (harness/sample.ts) is read byte by byte: status, body, and that all answers have nearly one length;
 * - so the bytes that wrk received must be its number of calls times that length. Answers that were cut, doubled or mixed
 *   with others show in the sum. Only what was under way at the end is open.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { WrongAnswer } from '../harness/answer.ts'
import { LOAD_CPU, requireProgram, runProgram } from '../harness/program.ts'
import { type AnswerLengths, Sampler } from '../harness/sample.ts'
import type { Load, LoadTarget, Outcome } from './load.ts'

const loadSchema = z.object({
  requests: z.number(),
  bytes: z.number(),
  durationUs: z.number(),
  p50Us: z.number(),
  p99Us: z.number(),
  errors: z.object({
    connect: z.number(),
    read: z.number(),
    write: z.number(),
    timeout: z.number(),
    status: z.number(),
  }),
})

/** What wrk measured. */
export type WrkResult = z.output<typeof loadSchema>

export interface WrkOptions {
  /** Downstream connections. */
  readonly connections: number
  /** A new connection for each call, instead of keeping them for the whole round. */
  readonly close?: boolean
  /**
   * At the target's rate, and not as many as can be: a connection rests before each call, for a random time (a Poisson
   * process, but for the clock of wrk, which ticks in ms). Take so many connections that they rest for most of the time: then
   * a proxy that stalls is charged with the calls that come meanwhile.
   */
  readonly paced?: boolean
}

/** As many calls as the proxy takes, or as are due, on that many connections at once. */
export function wrk(options: WrkOptions): Load {
  return async target => {
    const sampler = await Sampler.open(target.work, target.port, options.close)
    try {
      const loading = run(target, options)
      const [load, samples] = await Promise.all([loading, sampler.during(loading)])
      const fault = faultOf(load, options.connections, sampler.lengths)
      if (fault !== undefined) throw new WrongAnswer(fault)
      return outcomeOf(load, samples, options.connections)
    } finally {
      await sampler.close()
    }
  }
}

function outcomeOf(load: WrkResult, samples: number, connections: number): Outcome {
  const calls = load.requests + samples
  return {
    units: calls,
    seconds: load.durationUs / 1e6,
    calls,
    open: connections,
    bytes: 0,
    p50Ms: load.p50Us / 1_000,
    p99Ms: load.p99Us / 1_000,
  }
}

/** Runs wrk for that long, with one thread on the CPU of the load. */
async function run(
  { work, port, seconds, rate }: LoadTarget,
  { connections, close, paced }: WrkOptions,
): Promise<WrkResult> {
  const command = [
    requireProgram('wrk'),
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '-s',
    join(import.meta.dirname, 'wrk.lua'),
    `${work.tls ? 'https' : 'http'}://127.0.0.1:${port}${work.path}`,
    '--',
    work.field,
    work.credentialFile,
    close ? 'close' : 'keep-alive',
    String(paced ? (1_000 * connections) / rate : 0),
  ]
  return parseLoad(await runProgram(LOAD_CPU, command, seconds + 30))
}

/** Reads the line that wrk.lua writes. Throws where there is none. */
export function parseLoad(output: string): WrkResult {
  const line = /^result (\{.*\})$/m.exec(output)?.[1]
  if (line === undefined) throw new Error(`wrk gave no result: ${output.slice(-500)}`)
  return loadSchema.parse(JSON.parse(line))
}

/** What was wrong in a round in which answers had these lengths, or `undefined`. */
export function faultOf(
  load: WrkResult,
  connections: number,
  { min, max }: AnswerLengths,
): string | undefined {
  const errors = Object.entries(load.errors).filter(([, count]) => count > 0)
  if (errors.length > 0)
    return `wrk counted ${errors.map(([kind, count]) => `${count} ${kind} errors`).join(', ')}`
  if (load.requests === 0) return 'wrk got no answer'
  const [least, most] = [load.requests * min, (load.requests + connections) * max]
  if (load.bytes < least || load.bytes > most)
    return `${load.requests} answers had ${load.bytes} bytes instead of ${least} to ${most}`
  return undefined
}
