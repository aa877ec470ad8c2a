/** The ways in which an exchange can reach its deployment, one for each version of HTTP. */
import type { DeploymentPool, Upstream } from '../pool/deployment-pool.ts'
import { UpstreamConnection } from '../pool/upstream-connection.ts'
import type { WorkerContext } from '../worker/context.ts'
import type { CallRequest } from './call-request.ts'
import { Http1UpstreamCall } from './http1/http1-upstream-call.ts'
import { Http2UpstreamCall, type StreamedCall } from './http2/http2-upstream-call.ts'
import type { UpstreamCall } from './upstream-call.ts'

export class UpstreamCalls {
  readonly http1: Http1UpstreamCall
  /** Made for the first call by HTTP/2. */
  #http2: Http2UpstreamCall | undefined
  readonly #context: WorkerContext
  readonly #call: StreamedCall

  constructor(context: WorkerContext, call: StreamedCall) {
    this.#context = context
    this.#call = call
    this.http1 = new Http1UpstreamCall(context, call)
  }

  /** The call of `request`, or the next try of it, goes over `upstream`. */
  over(upstream: Upstream, pool: DeploymentPool, request: CallRequest): UpstreamCall {
    if (upstream instanceof UpstreamConnection) return this.http1.use(upstream, pool, request)
    this.#http2 ??= new Http2UpstreamCall(this.#context, this.#call)
    return this.#http2.use(upstream, pool, request)
  }
}
