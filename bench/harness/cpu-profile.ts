/** Where the time of a process went, out of what V8 writes for `--cpu-prof`. */
import { z } from 'zod'

/** The part of a `.cpuprofile` that is read here (Chrome DevTools Protocol, Profiler.Profile). */
export const cpuProfileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({
        functionName: z.string(),
        url: z.string(),
        /** From 0; -1 where there is no source. */
        lineNumber: z.number(),
      }),
    }),
  ),
  /** Id of the innermost node at each sample, and the microseconds since the sample before. */
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
})
export type CpuProfile = z.output<typeof cpuProfileSchema>

export interface SelfTime {
  readonly name: string
  /** File and line, relative to `root` where it is in it; '' for what V8 itself does. */
  readonly place: string
  /** Of the time in which the process did anything. */
  readonly share: number
}

const IDLE = '(idle)'

/** Functions by the time that they took themselves, without what they called; the greatest first. */
export function selfTimes({ nodes, samples, timeDeltas }: CpuProfile, root: string): SelfTime[] {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const times = new Map<string, { name: string; place: string; us: number }>()
  let busyUs = 0
  for (const [index, id] of samples.entries()) {
    const frame = frames.get(id)
    const us = timeDeltas[index] ?? 0
    if (!frame || frame.functionName === IDLE) continue
    busyUs += us
    const name = frame.functionName || '(anonymous)'
    const place = frame.url === '' ? '' : `${placeOf(frame.url, root)}:${frame.lineNumber + 1}`
    const key = `${name} ${place}`
    const known = times.get(key)
    if (known) known.us += us
    else times.set(key, { name, place, us })
  }
  return [...times.values()]
    .toSorted((a, b) => b.us - a.us)
    .map(({ name, place, us }) => ({ name, place, share: us / busyUs }))
}

/** The first `count` as lines; `figure` is shared out over all of them, in its own unit. */
export function selfTimeLines(
  times: readonly SelfTime[],
  count: number,
  figure: { readonly median: number; readonly unit: string; readonly digits: number },
): string[] {
  const shown = times.slice(0, count)
  const width = Math.max(0, ...shown.map(({ name }) => name.length))
  return [
    `self time, of ${figure.median.toFixed(figure.digits)} ${figure.unit}:`,
    ...shown.map(({ name, place, share }) => {
      const part = (figure.median * share).toFixed(figure.digits + 1)
      return `${(share * 100).toFixed(1).padStart(6)} %  ${part.padStart(8)}  ${name.padEnd(width)}  ${place}`
    }),
  ]
}

function placeOf(url: string, root: string): string {
  const prefix = `file://${root}/`
  return url.startsWith(prefix) ? url.slice(prefix.length) : url
}
