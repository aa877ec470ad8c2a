/** One row of the usage meter: what is counted under one key, and how much of that has been passed on. */
import type { UsageDelta, UsageKey } from '../../contracts/journal-segment.ts'

/** Counters that only grow. */
class Counts {
  calls = 0
  connections = 0
  ingress = 0
  egress = 0
  connectionMs = 0
  callMs = 0
  requestMessages = 0
  responseMessages = 0
}

/** Whose times may have fractions of a millisecond. */
class Counted extends Counts {}

/**
 * Whose times are whole milliseconds. V8 keeps a number with a fraction beside the object, and knows by its class which field may
 * have one: these need none.
 */
class PassedOn extends Counts {}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** A delta that is filled again and again. */
export type DeltaSlot = Mutable<UsageDelta>

export function emptyDelta(): DeltaSlot {
  return {
    window: 0,
    calls: 0,
    connections: 0,
    ingress: 0,
    egress: 0,
    connectionMs: 0,
    callMs: 0,
    requestMessages: 0,
    responseMessages: 0,
  }
}

export class UsageRow {
  /** Of the meter, from 0. */
  readonly number: number
  readonly key: UsageKey
  /** Since the row was made. */
  readonly counted = new Counted()
  /** How much of it is in the journal. */
  readonly journaled = new PassedOn()
  /** How much of it has been told to the primary. */
  readonly told = new PassedOn()
  /** Whether it may have something that is not in the journal, and that is not told. */
  unwritten = false
  untold = false
  /** The epoch of the journal in which its key was written last. */
  keyedIn = 0
  /** Connections opened since they were last told. */
  opened = 0
  /** Connections open now, and up to when (monotonic) their time is counted. */
  active = 0
  countedUntil = 0

  constructor(number: number, key: UsageKey) {
    this.number = number
    this.key = key
  }
}

/** Fills `delta` with what `counted` has more than `since`; false where that is nothing. */
export function subtract(delta: DeltaSlot, counted: Counted, since: PassedOn): boolean {
  delta.calls = counted.calls - since.calls
  delta.connections = counted.connections - since.connections
  delta.ingress = counted.ingress - since.ingress
  delta.egress = counted.egress - since.egress
  delta.requestMessages = counted.requestMessages - since.requestMessages
  delta.responseMessages = counted.responseMessages - since.responseMessages
  // Fractions of a millisecond wait until they are a whole one.
  delta.connectionMs = Math.floor(counted.connectionMs) - since.connectionMs
  delta.callMs = Math.floor(counted.callMs) - since.callMs
  return (
    delta.ingress > 0 ||
    delta.egress > 0 ||
    delta.calls > 0 ||
    delta.connectionMs > 0 ||
    delta.callMs > 0 ||
    delta.connections > 0 ||
    delta.requestMessages > 0 ||
    delta.responseMessages > 0
  )
}

/** All that is counted has been passed on. */
export function catchUp(since: PassedOn, counted: Counted): void {
  since.calls = counted.calls
  since.connections = counted.connections
  since.ingress = counted.ingress
  since.egress = counted.egress
  since.connectionMs = Math.floor(counted.connectionMs)
  since.callMs = Math.floor(counted.callMs)
  since.requestMessages = counted.requestMessages
  since.responseMessages = counted.responseMessages
}
