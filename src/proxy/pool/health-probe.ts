/**
 * One active check of one endpoint, over a connection of its own: a TCP or TLS handshake, or a request by the version of
 * HTTP that the endpoint speaks.
 */
import type { Socket } from 'node:net'
import { type buildConnector, Client } from 'undici'
import { grpcStatusOf, isGrpc } from '../../codec/grpc.ts'
import {
  HEALTH_CHECK_PATH,
  healthCheckRequest,
  SERVING,
  servingStatusOf,
} from '../../codec/grpc-health.ts'
import { dial, readyEvent } from './dial.ts'
import type { Endpoint } from './endpoint.ts'
import { askHttp2 } from './http2-probe.ts'

const MAX_BODY_BYTES = 64 * 1024
/** Interim answers (1xx) that a check reads. */
const MAX_INTERIM = 8
const GRPC_OK = 0

/** Whether it answers `GET path` with 2xx or 3xx within `timeoutMs`. Never rejects. */
export function answersHttp(endpoint: Endpoint, path: string, timeoutMs: number): Promise<boolean> {
  return endpoint.http2
    ? answersHttp2(endpoint, path, timeoutMs)
    : answersHttp1(endpoint, path, timeoutMs)
}

async function answersHttp2(endpoint: Endpoint, path: string, timeoutMs: number): Promise<boolean> {
  const answer = await askHttp2(endpoint, { method: 'GET', path }, timeoutMs)
  return answer !== undefined && isWell(answer.status)
}

/**
 * Whether `service`, or for '' the server as a whole, is SERVING by gRPC's health protocol within `timeoutMs`. Every other
 * status of it or of the call is no, also that the server does not know the protocol or the service. Never rejects.
 */
export async function servesGrpc(
  endpoint: Endpoint,
  service: string,
  timeoutMs: number,
): Promise<boolean> {
  const request = {
    method: 'POST',
    path: HEALTH_CHECK_PATH,
    fields: [
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ['grpc-timeout', `${Math.max(1, Math.floor(timeoutMs))}m`],
    ],
    body: healthCheckRequest(service),
  } as const
  const answer = await askHttp2(endpoint, request, timeoutMs)
  if (answer?.status !== 200 || answer.cut) return false
  if (!isGrpc(answer.fields.get('content-type') ?? '')) return false
  return (
    grpcStatusOf(answer.trailers.get('grpc-status')) === GRPC_OK &&
    servingStatusOf(answer.body) === SERVING
  )
}

async function answersHttp1(endpoint: Endpoint, path: string, timeoutMs: number): Promise<boolean> {
  // A connection or handshake that hangs is not the client's yet, and would outlive it.
  const sockets: Socket[] = []
  // The name in the URL becomes `Host`; what we connect to is the address, as calls do.
  const client = new Client(`${endpoint.tls ? 'https' : 'http'}://${endpoint.authority}`, {
    connect: (_options, callback) => {
      sockets.push(give(endpoint, callback))
    },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  // A signal of the request would be heard once there is a connection, which may be never.
  const giveUp = (): void => void client.destroy().catch(() => {})
  const timer = setTimeout(giveUp, timeoutMs)
  let interims = 0
  const onInfo = (): void => {
    if (++interims > MAX_INTERIM) giveUp()
  }
  try {
    const { statusCode, body } = await client.request({ path, method: 'GET', onInfo })
    await body.dump({ limit: MAX_BODY_BYTES })
    return isWell(statusCode)
  } catch {
    return false
  } finally {
    clearTimeout(timer)
    giveUp()
    for (const socket of sockets) socket.destroy()
  }
}

function isWell(status: number): boolean {
  return status >= 200 && status < 400
}

/** Whether it accepts a connection, and its certificate is right where it has TLS, within `timeoutMs`. Never rejects. */
export async function acceptsConnection(endpoint: Endpoint, timeoutMs: number): Promise<boolean> {
  const socket = dial(endpoint, { allowHalfOpen: false })
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  const connected = await new Promise<boolean>(resolve => {
    socket.once(readyEvent(endpoint), () => resolve(true))
    socket.on('error', () => {})
    socket.once('close', () => resolve(false))
  })
  clearTimeout(timer)
  socket.destroy()
  return connected
}

function give(endpoint: Endpoint, callback: buildConnector.Callback): Socket {
  const socket = dial(endpoint, { allowHalfOpen: false })
  const failed = (error: Error): void => callback(error, null)
  socket.once('error', failed)
  // Of one that is given up before it was ready.
  socket.on('error', () => {})
  socket.once(readyEvent(endpoint), () => {
    socket.off('error', failed)
    callback(null, socket)
  })
  return socket
}
