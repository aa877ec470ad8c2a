/** Who asks: the downstream side of one call, which is an HTTP/1.1 connection, or a stream of HTTP/2. */
import type { WorkerContext } from '../worker/context.ts'
import type { AnswerWriter } from './answer-writer.ts'
import type { CallTraffic } from './call-account.ts'
import type { CallWatch } from './call-watch.ts'
import type { ConnectionAccount, Downstream } from './downstream.ts'
import type { OriginMemo } from './origin-memo.ts'

export interface Caller {
  readonly context: WorkerContext
  readonly downstream: Downstream
  readonly account: ConnectionAccount
  readonly origin: OriginMemo
  readonly traffic: CallTraffic
  readonly watch: CallWatch
  readonly answer: AnswerWriter
  /** Bytes of the call that wait: for its client, or for a deployment that is not there yet. */
  readonly waitingBytes: number
  /** Hands on what was written of the answer; false where there should be no more until `downstreamDrained`. */
  flush(): boolean
  /** The exchange can take more of what has come. */
  pump(): void
  /** The deployment takes no more for now, or takes more again. */
  pauseForUpstream(paused: boolean): void
  /**
   * The books of the call are closed next: what is still to be said to its client, beside the answer, is said now, so that
   * it is counted. `whole`: the answer came to its end.
   */
  lastWord(whole: boolean): void
  /** The connection is of no more use: it ends behind this call. */
  endConnection(): void
  /** Its client has sent too many bad credentials: what is on its way behind the call is not looked at, or later. */
  penalize(): void
  /** The call is over; `keepAlive`: its connection may carry another one. */
  callDone(keepAlive: boolean): void
  /** The deployment has ended what had become a tunnel: what it sent last still arrives. */
  endTunnel(): void
  /** The answer has begun and cannot be finished, and the client must notice. */
  destroy(): void
}
