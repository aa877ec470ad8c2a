import { http1ApiKey } from './http1-api-key.ts'
import { http1Jwt } from './http1-jwt.ts'
import { http1TlsJwt } from './http1-tls-jwt.ts'
import type { Lane } from './lane.ts'

/** Every lane, in the order of the table. */
export const LANES: readonly Lane[] = [http1ApiKey, http1Jwt, http1TlsJwt]
