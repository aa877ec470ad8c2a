/** What a lane measures: how the figure of a round is made, and in which unit it is told. Lower is better, always. */

/** What one round came to, before a figure is made of it. */
export interface Measured {
  /** Units of work that were done rightly: calls, GiB, messages, connections. */
  readonly units: number
  readonly seconds: number
  /** User and system time of the processes that carry the traffic. */
  readonly cpuSeconds: number
  /** By how much their resident memory grew. */
  readonly residentBytes: number
  readonly p50Ms?: number | undefined
  readonly p99Ms?: number | undefined
}

export interface Quantity {
  /** As it stands behind the number: `CPU µs a call`. */
  readonly unit: string
  /** Decimal places that mean something. */
  readonly digits: number
  readonly of: (round: Measured) => number
}

export interface Figure extends Quantity {
  /** Whether it comes from the clock of /proc, which ticks in 10 ms. */
  readonly fromCpu: boolean
  /** How much was done, beside what it cost. */
  readonly rate: Quantity
}

const KB = 1_000

export const CPU_A_CALL: Figure = cpuOf('call')
export const CPU_A_MESSAGE: Figure = cpuOf('message')
export const CPU_A_CONNECTION: Figure = cpuOf('connection')

export const CPU_A_GIB: Figure = {
  unit: 'CPU ms a GiB',
  digits: 0,
  fromCpu: true,
  of: ({ cpuSeconds, units }) => (cpuSeconds * 1e3) / units,
  rate: {
    unit: 'GB a CPU s',
    digits: 2,
    of: ({ cpuSeconds, units }) => (units * 2 ** 30) / 1e9 / cpuSeconds,
  },
}

export const MEMORY_A_CONNECTION: Figure = {
  unit: 'KB a connection',
  digits: 2,
  fromCpu: false,
  of: ({ residentBytes, units }) => residentBytes / units / KB,
  rate: perSecond('connection'),
}

export const LATENCY: Figure = {
  unit: 'ms p99',
  digits: 2,
  fromCpu: false,
  of: ({ p99Ms }) => p99Ms ?? Number.NaN,
  rate: perSecond('call'),
}

function cpuOf(what: string): Figure {
  return {
    unit: `CPU µs a ${what}`,
    digits: 1,
    fromCpu: true,
    of: ({ cpuSeconds, units }) => (cpuSeconds * 1e6) / units,
    rate: perSecond(what),
  }
}

function perSecond(what: string): Quantity {
  return { unit: `${what}s/s`, digits: 0, of: ({ units, seconds }) => units / seconds }
}
