import { bulkDownload, bulkUpload, tcpBulk, tlsBulk } from './bulk-lanes.ts'
import { http1ApiKey, http1Jwt, http1TlsApiKey, http1TlsJwt } from './call-lanes.ts'
import {
  idleConnections,
  idleTlsConnections,
  newConnections,
  newMutualTlsConnections,
  newTlsConnections,
  resumedMutualTlsConnections,
} from './connection-lanes.ts'
import { halfLoad } from './half-load.ts'
import {
  grpcMessages,
  grpcUnary,
  http2HundredStreams,
  http2Jwt,
  http2OneStream,
  http2TenStreams,
  http2ToHttp1,
} from './http2-lanes.ts'
import type { Lane } from './lane.ts'
import { websocketMessages } from './websocket.ts'

/** Every lane, in the order of the table. */
export const LANES: readonly Lane[] = [
  http1ApiKey,
  http1Jwt,
  http1TlsApiKey,
  http1TlsJwt,
  halfLoad,
  http2OneStream,
  http2TenStreams,
  http2HundredStreams,
  http2Jwt,
  http2ToHttp1,
  grpcUnary,
  grpcMessages,
  bulkDownload,
  bulkUpload,
  tcpBulk,
  tlsBulk,
  websocketMessages,
  idleConnections,
  idleTlsConnections,
  newConnections,
  newTlsConnections,
  newMutualTlsConnections,
  resumedMutualTlsConnections,
]
