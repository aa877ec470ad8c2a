import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Whether an `Authorization` field carries `token` as a bearer token (RFC 6750). Digests are compared instead of the
 * texts: they are of one length and their comparison takes the same time, whatever was sent.
 */
export function bearerCheck(token: string): (authorization: string | undefined) => boolean {
  const expected = digest(token)
  return authorization => {
    const [, sent] = /^bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '') ?? []
    return timingSafeEqual(digest(sent ?? ''), expected) && sent !== undefined
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
