/**
 * What a primary and the one that takes its place say to each other, as JSON over the channel of a child process: the new
 * one is started by the old one, so that sockets can pass between them (ADR 13).
 *
 *     new  hello                      I run
 *     old  socket …, begin            what I listen at, each with its socket, and what you must know
 *     new  serving | failed           all my workers accept | I cannot: you go on
 *     old  yours                      I have let go of the folder and the admin address, and drain
 *     old  gone …                     that worker of mine has written its last
 */
import type { Place } from '../../listener/listening-socket.ts'
import type { DrainedTenant } from '../tenant-drain-desk.ts'
import type { LeftTickets } from '../ticket-rotation.ts'

/** Of these messages. Another one is another form of handing over, and refused. */
export const PROTOCOL = 1

export type ToSuccessor =
  | { readonly kind: 'socket'; readonly place: Place }
  | ({ readonly kind: 'begin' } & Inheritance)
  | ({ readonly kind: 'yours' } & Legacy)
  | { readonly kind: 'gone'; readonly producer: string }

export type FromSuccessor =
  | { readonly kind: 'hello'; readonly protocol: number }
  | { readonly kind: 'serving' }
  /** `exitCode`: what it would have ended with as the first one. */
  | { readonly kind: 'failed'; readonly problems: readonly string[]; readonly exitCode: number }

/** What the new one must know of the old one. */
export interface Inheritance {
  /** Folder of the journals, which must be the same. */
  readonly journal: string
  /** So that clients resume their TLS sessions. */
  readonly tickets: readonly LeftTickets[]
  /** Where whoever is in charge says so, unless the new one was told another place. */
  readonly pidFile?: string | undefined
  /** Tenants that an operator has drained so far; an older version does not say it. */
  readonly drained?: readonly DrainedTenant[] | undefined
}

/** What is true in the moment in which the new one is in charge. */
export interface Legacy {
  /** Journals that workers of the old one still write. */
  readonly producers: readonly string[]
  /** As in `Inheritance`, with what was said to the old one since. */
  readonly drained?: readonly DrainedTenant[] | undefined
}
