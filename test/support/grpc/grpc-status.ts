import { valuesOf } from '../http2/call.ts'
import type { Http2Answer } from '../http2/http2-client.ts'

/** What a gRPC client makes of an answer, and whether it was nothing but trailers. */
export function grpcStatusOf({ fields, trailers, status, headAlone }: Http2Answer): {
  readonly status: number
  readonly message: string
  readonly trailersOnly: boolean
} {
  const list = headAlone ? fields : trailers
  return {
    status: Number(valuesOf(list, 'grpc-status')[0] ?? -1),
    message: decodeURIComponent(valuesOf(list, 'grpc-message')[0] ?? ''),
    trailersOnly: headAlone && status === 200,
  }
}
