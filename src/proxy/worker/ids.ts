import { randomBytes } from 'node:crypto'

/** Makes ids that are unique in all workers: a random part of this one, and a number. */
export function ids(): () => string {
  const prefix = randomBytes(9).toString('base64url')
  let number = 0
  return () => `${prefix}-${(number++).toString(36)}`
}
