/** Ways in which workers can share an address. */
export const WAYS = ['shared', 'hand-over', 'reuse-port'] as const
export type Way = (typeof WAYS)[number]

export const MEANING: Readonly<Record<Way, string>> = {
  shared:
    'one listening socket, which all workers have and accept from (SCHED_NONE; what AMT does)',
  'hand-over': 'the primary accepts, and hands each connection to the next worker (SCHED_RR)',
  'reuse-port': 'each worker has a listening socket of its own at the same port (SO_REUSEPORT)',
}

/** What the program is told, as JSON in its first argument. */
export interface ServerOptions {
  readonly way: Way
  readonly workers: number
  /** CPU time that a worker spends on each connection: 1,000 is about a full TLS handshake. */
  readonly workUs: number
}

/** A worker says first that it has accepted, then, asked by one byte, who it is; then it closes. */
export const ACCEPTED = 'a'
export const QUESTION = '?'
