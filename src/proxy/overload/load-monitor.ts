/**
 * How a worker is, from figures that are looked at all the time: whether it is busy, and which steps of overload protection
 * are in force. A threshold that is reached counts at once; what it led to is over only when the figure has been clearly
 * below it for a while.
 */
import type { OverloadConfig } from '../../config/overload-schema.ts'

/** What a worker does, in the order in which it comes to that as a rule. */
export const OVERLOAD_STEPS = [
  'fair',
  'shrink_buffers',
  'stop_keep_alive',
  'refuse_calls',
  'refuse_connections',
] as const
export type OverloadStep = (typeof OVERLOAD_STEPS)[number]

export const RESOURCES = ['memory', 'descriptors', 'accept_queue'] as const
export type Resource = (typeof RESOURCES)[number]

/** At one moment. Parts are of what there may be: 1 is all of it. */
export interface LoadFigures extends Readonly<Record<Resource, number>> {
  /** By how much the event loop came too late, in ms. */
  readonly lagMs: number
  /** Part of the time in which the event loop worked. */
  readonly cpu: number
  /** Calls that wait for their turn. */
  readonly queued: number
}

/** Weight of a new figure: some five of them make the picture. */
const SMOOTHING = 0.3
/** Beyond so many times its threshold lateness is no more than late: one long collection of garbage is no load. */
const MOST_LATE = 2
/** Clearly below a threshold of how busy it is: this part of it. */
const CALM = 0.8
/** Clearly below a threshold of a resource: by so much. */
const RELIEF = 0.05
/** Of the accept queue: behind it others come too late already. */
const LONG_ACCEPT_QUEUE = 0.5

/** On from the moment a figure reaches its threshold, off when it was below `release` for as long as `recovery`. */
class Gate {
  on = false
  /** How often it came to be on. */
  count = 0
  #since = 0
  readonly #recovery: number

  constructor(recovery: number) {
    this.#recovery = recovery
  }

  update(reached: boolean, relieved: boolean, now: number): void {
    if (reached && !this.on) {
      this.on = true
      this.count += 1
    }
    if (!relieved) this.#since = now
    else if (now - this.#since >= this.#recovery) this.on = false
  }
}

export class LoadMonitor {
  /** How many steps are in force. */
  level = 0
  lagMs = 0
  cpu = 0
  /** `lagMs`, without what one long collection of garbage makes of it. */
  #lateness = 0
  readonly #config: OverloadConfig
  readonly #gates: Readonly<Record<OverloadStep, Gate>>

  constructor(config: OverloadConfig) {
    this.#config = config
    const gate = (): Gate => new Gate(config.recovery)
    this.#gates = {
      fair: gate(),
      shrink_buffers: gate(),
      stop_keep_alive: gate(),
      refuse_calls: gate(),
      refuse_connections: gate(),
    }
  }

  /** Whether a step is in force. */
  on(step: OverloadStep): boolean {
    return this.#gates[step].on
  }

  /** How often it came to a step since the last time that this was asked. */
  takeCount(step: OverloadStep): number {
    const gate = this.#gates[step]
    const { count } = gate
    gate.count = 0
    return count
  }

  /** Takes the figures of the moment `now`, monotonic, in ms. */
  observe(figures: LoadFigures, now: number): void {
    this.lagMs += (figures.lagMs - this.lagMs) * SMOOTHING
    const late = Math.min(figures.lagMs, MOST_LATE * this.#config.lag)
    this.#lateness += (late - this.#lateness) * SMOOTHING
    this.cpu += (figures.cpu - this.cpu) * SMOOTHING
    const { memory, descriptors, accept_queue: acceptQueue } = figures
    const { shrinkBuffers, stopKeepAlive, refuseCalls, refuseConnections } = this.#config
    this.#step('shrink_buffers', memory, shrinkBuffers, now)
    this.#step('stop_keep_alive', Math.max(memory, descriptors), stopKeepAlive, now)
    // Fewer connections that are kept would make more that are new: nothing to do against an accept queue.
    const any = Math.max(memory, descriptors, acceptQueue)
    this.#step('refuse_calls', any, refuseCalls, now)
    this.#step('refuse_connections', any, refuseConnections, now)
    const load = this.#load(figures)
    this.#gates.fair.update(load >= 1, load < CALM, now)
    this.level = OVERLOAD_STEPS.reduce((count, step) => (this.on(step) ? count + 1 : count), 0)
  }

  #step(step: OverloadStep, pressure: number, threshold: number, now: number): void {
    this.#gates[step].update(pressure >= threshold, pressure < threshold - RELIEF, now)
  }

  /** How busy it is, in parts of where it counts as busy. Whoever is short of something, or keeps calls waiting, is. */
  #load({ memory, accept_queue: acceptQueue, queued }: LoadFigures): number {
    const { lag, cpu, shrinkBuffers } = this.#config
    return Math.max(
      part(this.#lateness, lag),
      part(this.cpu, cpu),
      part(memory, shrinkBuffers),
      acceptQueue / LONG_ACCEPT_QUEUE,
      this.#gates.refuse_calls.on || queued > 0 ? 1 : 0,
    )
  }
}

/** A threshold of 0 is off. */
function part(figure: number, threshold: number): number {
  return threshold === 0 ? 0 : figure / threshold
}
