import type { MethodDefinition } from '@grpc/grpc-js'

const asItIs = (message: Buffer): Buffer => message

/** A method whose messages are bytes. */
export function method(
  path: string,
  requestStream: boolean,
  responseStream: boolean,
): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: asItIs,
    requestDeserialize: asItIs,
    responseSerialize: asItIs,
    responseDeserialize: asItIs,
  }
}
