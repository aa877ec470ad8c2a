/**
 * A call as a span of OpenTelemetry: the names are those of its semantic conventions for HTTP and RPC, and what is ours
 * begins with `amt.`. It has what the access log has of a call, and no credential either.
 */

import { flatCopy } from '../../codec/latin1.ts'
import { ERRORS } from '../../core/errors.ts'
import type { LoggedCall } from '../access-log/access-log.ts'
import type { CallTrace } from './call-trace.ts'

export interface TracedCall {
  readonly call: LoggedCall
  readonly trace: CallTrace
  /** The host that was asked for, of a call that is a tenant's; else ''. */
  readonly host: string
  readonly secure: boolean
  /** Milliseconds since the epoch. */
  readonly endedAt: number
}

type Attributes = Record<string, string | number>

/** Seconds since the epoch, and nanoseconds. */
type Time = [number, number]

export interface CallSpan {
  readonly name: string
  readonly trace: CallTrace
  readonly attributes: Attributes
  readonly startTime: Time
  readonly endTime: Time
  readonly duration: Time
  readonly failed: boolean
}

const MOST_CHARS = 1_024
/** Of RFC 9110 and RFC 5789: other methods are whatever a client thinks of. */
const METHODS = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
])
const OTHER = '_OTHER'
/** By number (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
const GRPC_STATUS = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const
/** What a server is to blame for, by the conventions for spans of gRPC. */
const GRPC_FAILURES = new Set([2, 4, 12, 13, 14, 15])

export function callSpan({ call, trace, host, secure, endedAt }: TracedCall): CallSpan {
  const method = METHODS.has(call.method) ? call.method : OTHER
  const attributes: Attributes = {
    'http.request.method': method,
    'url.scheme': secure ? 'https' : 'http',
    'client.address': call.peer,
  }
  if (method === OTHER) put(attributes, 'http.request.method_original', kept(call.method))
  put(attributes, 'url.path', kept(call.path))
  put(attributes, 'network.protocol.version', call.protocol.slice('HTTP/'.length))
  put(attributes, 'server.address', kept(host.replace(/:\d{1,5}$/, '')))
  if (call.status > 0) attributes['http.response.status_code'] = call.status
  if (call.grpcStatus !== undefined) putGrpc(attributes, call.grpcStatus)
  const failed = isFailure(call)
  if (failed) attributes['error.type'] = call.code === '' ? statusText(call) : call.code
  putOwn(attributes, call)
  return {
    name: nameOf(call, method),
    trace,
    attributes,
    failed,
    ...timesOf(endedAt, call.durationMs),
  }
}

/** By the conventions what a client has done wrong is no error of a server. */
function isFailure({ code, status, grpcStatus }: LoggedCall): boolean {
  if (code !== '' && ERRORS[code].http >= 500) return true
  return grpcStatus === undefined ? status >= 500 : GRPC_FAILURES.has(grpcStatus)
}

function putOwn(attributes: Attributes, call: LoggedCall): void {
  attributes['amt.routability'] = call.routability
  attributes['amt.flag'] = call.flag
  attributes['amt.listener'] = call.listener
  attributes['amt.request_id'] = kept(call.requestId)
  attributes['amt.ingress'] = call.ingress
  attributes['amt.egress'] = call.egress
  attributes['amt.wait_ms'] = call.waitMs
  attributes['amt.upstream_ms'] = call.upstreamMs
  put(attributes, 'amt.tenant', call.tenant)
  put(attributes, 'amt.operation', call.operation)
  put(attributes, 'amt.upstream', call.upstream)
  put(attributes, 'amt.code', call.code)
}

/** As the conventions have it: the method of gRPC, else the method of HTTP and what stands for its route. No path: they are too many. */
function nameOf(call: LoggedCall, method: string): string {
  if (call.operation === '') return method
  return call.grpcStatus === undefined ? `${method} ${call.operation}` : kept(call.path.slice(1))
}

function put(attributes: Attributes, name: string, value: string): void {
  if (value !== '') attributes[name] = value
}

function putGrpc(attributes: Attributes, status: number): void {
  attributes['rpc.system.name'] = 'grpc'
  attributes['rpc.status_code'] = GRPC_STATUS[status] ?? String(status)
  put(attributes, 'rpc.method', String(attributes['url.path'] ?? '').slice(1))
}

function statusText({ grpcStatus, status }: LoggedCall): string {
  return grpcStatus === undefined ? String(status) : (GRPC_STATUS[grpcStatus] ?? String(grpcStatus))
}

/** A text of a peer, not for ever; a copy, because what was cut out of a head would keep all of it. */
function kept(text: string): string {
  const short = text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}...` : text
  return flatCopy(short) ?? short
}

function timesOf(
  endedAt: number,
  durationMs: number,
): Pick<CallSpan, 'startTime' | 'endTime' | 'duration'> {
  return {
    startTime: timeOf(endedAt - durationMs),
    endTime: timeOf(endedAt),
    duration: timeOf(durationMs),
  }
}

function timeOf(ms: number): Time {
  const seconds = Math.floor(ms / 1_000)
  return [seconds, Math.floor((ms - seconds * 1_000) * 1e6)]
}
