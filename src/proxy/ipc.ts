/**
 * What the primary and its workers say to each other, as JSON over the cluster channel.
 * Workers report once a second; all numbers are what came since the last report, unless it says otherwise.
 */
import type { Config, ListenerConfig } from '../config/schema.ts'
import type { UsageRecord } from '../contracts/usage-report.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { CodeClass, Routability } from '../core/routability.ts'
import type { LogLevelName } from '../runtime/logger.ts'
import type { ProcessFigures } from '../runtime/process-figures.ts'
import type { ProfileRequest } from '../runtime/profile.ts'
import type { Place } from './listener/listening-socket.ts'
import type { TlsMaterial } from './listener/tls-material.ts'
import type { TicketSecrets } from './listener/tls-tickets.ts'
import type { OverloadStep, Resource } from './overload/load-monitor.ts'
import type { ShedReason } from './overload/tenant-share.ts'
import type { ConnectionList } from './worker/connection-list.ts'
import type { NameFigures } from './worker/name-log.ts'
import type { ProfilePiece } from './worker/profile-source.ts'
import type { TenantDrain } from './worker/tenant-drains.ts'

/** What the primary tells a worker of the configuration once and for all; the tenants come by themselves. */
export type WorkerConfig = Omit<Config, 'tenants'>

/** One change of the tenants. What is neither changed nor removed stays as it is. */
export interface TenantChange {
  readonly generation: number
  /** Of tenants that have none of their own. */
  readonly limits: Config['limits']
  /** New and changed tenants, each as `encodeTenant` writes it. */
  readonly changed: readonly string[]
  /** Ids. */
  readonly removed: readonly string[]
  /** Where these change as well; with the last piece of a change. */
  readonly listeners?: ListenersChange | undefined
}

/** All listeners as they are from now on, with the TLS of those that have some. What is left out ends with `settle`. */
export interface ListenersChange {
  readonly configs: readonly ListenerConfig[]
  readonly materials: readonly TlsMaterial[]
}

/** Where a worker has the file of `ahead` open. */
export const AHEAD_FD = 4

export type PrimaryMessage =
  /**
   * Before anything else is known: tenants, as `encodeTenant` writes them and a line each, stand in the file `AHEAD_FD`, in pieces
   * that end here. Said once at least to who has that file open.
   */
  | { readonly kind: 'ahead'; readonly ends: readonly number[] }
  /** Answer to `hello`. The tenants follow, as a change of none; the worker is `ready` when it serves them. */
  | {
      readonly kind: 'start'
      readonly config: WorkerConfig
      readonly generation: number
      /** How many of its tenants it has by `ahead`; the others follow. */
      readonly ahead: number
      /** How many share the limits, until `serving` says otherwise. */
      readonly workers: number
      /** Of this proxy, the same in all of its workers: it knows by it whether a call has passed here before. */
      readonly instance: string
      /** Tenants that are drained. */
      readonly draining?: readonly string[]
      /** Where it is not that of the configuration. */
      readonly logLevel?: LogLevelName
      /** Of each listener with TLS; a worker that gets none reads the files itself, and makes secrets of its own. */
      readonly tls?: readonly TlsMaterial[]
      readonly tickets?: readonly TicketSecrets[]
    }
  /**
   * A piece of a change, of some `CHUNK_CHARS` at most. A change takes effect as a whole with its `last` piece, and not at
   * all where something is wrong with it. Changes come one after the other, each against the one before. Answered by
   * `applied`, all but the first.
   */
  | (TenantChange & { readonly kind: 'tenants'; readonly last: boolean })
  /** The last change of listeners is in force in all workers, or taken back in all: what is not configured now may end. */
  | { readonly kind: 'settle' }
  /** How many workers serve and share the limits from now on, and how many there are to be; said to those that serve. */
  | { readonly kind: 'serving'; readonly workers: number; readonly count: number }
  | { readonly kind: 'quota-answers'; readonly answers: readonly QuotaAnswer[] }
  /** Answer to `listen`: the socket comes with it, or why it cannot be bound, as Node names it. */
  | { readonly kind: 'socket'; readonly id: number; readonly error?: string }
  /** The TLS of these listeners for handshakes from now on, with what the configuration says beside the files. */
  | {
      readonly kind: 'tls'
      readonly listeners: readonly ListenerConfig[]
      readonly materials: readonly TlsMaterial[]
    }
  /** What an operator wants of workers that serve. */
  | { readonly kind: 'operator'; readonly order: OperatorOrder }
  /** Keys of session tickets from now on. */
  | { readonly kind: 'tickets'; readonly secrets: readonly TicketSecrets[] }
  /** Stop accepting, end what can be ended, report a last time, exit. */
  | { readonly kind: 'drain' }

/** `id` is that of the question. */
export type OperatorAnswer =
  | ({ readonly kind: 'connections'; readonly id: number } & ConnectionList)
  | { readonly kind: 'profile-piece'; readonly id: number; readonly piece: ProfilePiece }

export type OperatorOrder =
  /** The tenant takes nothing new; what is under way has so long. */
  | ({ readonly kind: 'drain-tenant' } & TenantDrain)
  | { readonly kind: 'resume-tenant'; readonly tenant: string }
  /** Answered by `connections`. */
  | {
      readonly kind: 'list-connections'
      readonly id: number
      readonly tenant: string
      readonly limit: number
    }
  | { readonly kind: 'profile'; readonly id: number; readonly request: ProfileRequest }
  /** Answered by `profile-piece`. */
  | { readonly kind: 'profile-next'; readonly id: number }
  | { readonly kind: 'profile-end'; readonly id: number }
  /** Of the log of the worker, from now on. */
  | { readonly kind: 'log-level'; readonly level: LogLevelName }
  /** The files of the logs were moved away: new ones of the same name are begun. */
  | { readonly kind: 'reopen-logs' }

export type WorkerMessage =
  /**
   * First message, once the worker listens to the channel. Node's own cluster code listens from the beginning, so what
   * the primary sends before that would be lost without a trace.
   */
  | { readonly kind: 'hello' }
  | {
      readonly kind: 'ready'
      readonly bound: readonly BoundAddress[]
      /** Of this worker's journal. */
      readonly producer: string
    }
  /**
   * The worker cannot start; it exits after this. With `configuration` nothing was bound, and the proxy exits with 2
   * instead of 1. Problems are whole sentences for the log.
   */
  | {
      readonly kind: 'failed'
      readonly reason?: 'configuration' | 'listen'
      readonly problems: readonly string[]
    }
  /** With problems the primary takes the change back: it sends the opposite change with a new generation. */
  | {
      readonly kind: 'applied'
      readonly generation: number
      readonly problems: readonly string[]
      /** Where it listens, after a change of listeners; some of it where that is very much. */
      readonly bound?: readonly BoundAddress[] | undefined
    }
  /** Answered by `quota-answers`, one for each, in any order. */
  | { readonly kind: 'quota-asks'; readonly asks: readonly QuotaAsk[] }
  /** Answered by `socket`. */
  | { readonly kind: 'listen'; readonly id: number; readonly place: Place }
  /** What `listen` got is closed. */
  | { readonly kind: 'unlisten'; readonly place: Place }
  | OperatorAnswer
  | WorkerReport

/** A worker asks the mixer for a part of a quota. */
export interface QuotaAsk {
  /** Unique; the same again where the answer did not come. */
  readonly id: string
  readonly tenant: string
  /** Its name. */
  readonly quota: string
  readonly amount: number
}

export type QuotaAnswer =
  | {
      readonly id: string
      /** 0 to the amount that was asked for. */
      readonly granted: number
      /** What nobody has been given of the window yet. */
      readonly remaining: number
      /** When the window ends: milliseconds since the epoch, and from now. */
      readonly resetAt: number
      readonly resetInMs: number
    }
  /** `away`: the mixer could not be asked, or could not look; `refused`: it knows no such quota. */
  | { readonly id: string; readonly failed: 'away' | 'refused' }

export interface BoundAddress {
  readonly listener: string
  /** `127.0.0.1:8443`; with the real port where the configuration says 0. */
  readonly address: string
  /** Of private listeners with `bind: each`. */
  readonly tenant?: string
}

export interface WorkerReport {
  readonly kind: 'report'
  /** For metrics and for the books; what is billed is in the journal. */
  readonly usage: readonly UsageRecord[]
  readonly rejected: readonly {
    readonly reason: ErrorCode
    readonly listener: string
    readonly count: number
  }[]
  /** Handshakes that came to an end, full ones and resumed ones. */
  readonly handshakes: readonly {
    readonly listener: string
    readonly full: number
    readonly resumed: number
  }[]
  readonly handshakeFailures: readonly {
    readonly reason: HandshakeFailure
    readonly listener: string
    readonly count: number
  }[]
  readonly connections: readonly ConnectionCount[]
  readonly limited: readonly {
    readonly tenant: string
    readonly limit: string
    readonly count: number
  }[]
  readonly callDurations: readonly DurationHistogram[]
  readonly upstreamDurations: readonly DurationHistogram[]
  readonly jwtCache: { readonly hit: number; readonly miss: number; readonly reject: number }
  readonly tokenIssuers: TokenIssuerFigures
  /** Only tenants whose figures changed; absolute. */
  readonly endpoints: readonly {
    readonly tenant: string
    readonly healthy: number
    readonly ejected: number
    /** The worker has no opinion of them any more: the tenant is gone, or has had no traffic for long. */
    readonly gone?: true
  }[]
  /** Highest since the last report. */
  readonly eventLoopLagMs: number
  readonly process: ProcessFigures
  readonly overload: OverloadFigures
  readonly shed: readonly ShedCount[]
  readonly journal: JournalFigures
  /** How often a quota let something through only because the mixer cannot be asked. */
  readonly quotaOpened: number
  /** Long field values of HTTP/2 that were known by their octets, and were forgotten for want of room. */
  readonly fieldValuesForgotten: number
  /** Source addresses that were forgotten for want of room, with some of a rate used up. */
  readonly sourcesForgotten: number
  readonly accessLog: AccessLogFigures
  readonly traces: TraceFigures
  /** How names of endpoints were resolved. */
  readonly names: NameFigures
  /** API keys that were used since the last report; of very many only some, the others come with the next reports. */
  readonly keyUses: readonly KeyUse[]
  /** Uses of API keys that nobody will hear of, because too many others wait to be reported. */
  readonly keyUsesDropped: number
}

export interface AccessLogFigures {
  readonly lines: number
  /** Lines that nobody will read: too many waited. */
  readonly dropped: number
  /** Attempts to open or write it that failed. */
  readonly errors: number
  /** Of lines that wait to be written: absolute. */
  readonly waitingBytes: number
}

/** What became of spans. */
export interface TraceFigures {
  /** The collector has them. */
  readonly exported: number
  /** It did not take them. */
  readonly failed: number
  /** Too many waited for it. */
  readonly dropped: number
}

export interface KeyUse {
  readonly tenant: string
  /** SHA-256 of the key, 64 hexadecimal digits. */
  readonly digest: string
  /** Second of the last use, since the epoch. */
  readonly at: number
}

/** What can be wrong with a token, and how often it was. */
export type TokenFaults = Record<(typeof TOKEN_FAULTS)[number], number>

const TOKEN_FAULTS = [
  'form',
  'header',
  'audience',
  'time',
  'expired',
  'key',
  'signature',
  'tenant',
] as const

export function noTokenFaults(): TokenFaults {
  return Object.fromEntries(TOKEN_FAULTS.map(fault => [fault, 0])) as TokenFaults
}

/** How tokens that were not known fared. */
export interface TokenIssuerFigures {
  /** Issuers that are kept: absolute. */
  readonly live: number
  readonly closed: Readonly<Record<'idle' | 'full' | 'changed', number>>
  readonly fetches: Readonly<Record<'ok' | 'failed' | 'limited', number>>
  /** Checks that were not made, by the limit that was met, or because there were no keys. */
  readonly unchecked: Readonly<Record<'worker' | 'source' | 'issuer' | 'keys', number>>
  /** Tokens of our issuers that were refused, by what was wrong with them; not those that came again. */
  readonly refused: Readonly<TokenFaults>
  /** Known tokens that were dropped for want of room. */
  readonly dropped: number
}

/** How busy a worker is, and what it does about it. Parts are of what there may be. */
export interface OverloadFigures extends Readonly<Record<Resource, number>> {
  readonly steps: readonly {
    readonly step: OverloadStep
    /** Whether it is in force: absolute. */
    readonly on: boolean
    /** How often it came to that since the last report. */
    readonly begun: number
  }[]
  /** Both on average of the last quarter of a second, about. */
  readonly lagMs: number
  readonly cpu: number
  /** Calls that wait for their turn: absolute. */
  readonly queued: number
}

/** Calls of a tenant that were refused because the worker had too much to do. */
export interface ShedCount {
  readonly tenant: string
  readonly reason: ShedReason
  readonly count: number
}

export interface JournalFigures {
  /** Of this worker's journal. */
  readonly producer: string
  /** Of the last batch that was written: absolute. */
  readonly sequence: number
  readonly bytes: number
  /** Writes and syncs that failed. */
  readonly errors: number
  /** Records that will never be written: the worker ends, and the journal cannot be written. */
  readonly lost: number
  /** Records that wait in memory for so long that they were counted under a later minute than their own. */
  readonly postponed: number
  /** Records that are not written yet: absolute. */
  readonly unwritten: number
  /** Since when it cannot be written, in ms since the epoch; null where it can. */
  readonly failingSince: number | null
}

export interface ConnectionCount {
  readonly tenant: string
  readonly listener: string
  readonly routability: Routability
  readonly opened: number
  /** Open at this moment: absolute. */
  readonly active: number
}

export interface DurationHistogram {
  readonly code: CodeClass
  /** One a bucket of `DURATION_BUCKETS_MS`, and one more for what is longer; not cumulative. */
  readonly counts: readonly number[]
  readonly sumMs: number
}

/** Why a TLS handshake failed. */
export const HANDSHAKE_FAILURES = [
  'timeout',
  'client_closed',
  'too_many',
  'tenant_limit',
  'not_tls',
  'client_hello',
  'protocol_version',
  'no_shared_cipher',
  'alpn',
  'no_certificate',
  'unknown_ca',
  'certificate_expired',
  'certificate_revoked',
  'certificate_invalid',
  'revocation_list',
  'refused_by_client',
  'other',
] as const
export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number]

/** Upper bounds of the duration histograms. */
export const DURATION_BUCKETS_MS: readonly number[] = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
]

/** How much text goes into one message: both sides do other things between two of them. */
export const CHUNK_CHARS = 1024 * 1024
