/** Answers as they must be, byte by byte. */

/** A proxy answered otherwise than it must: its round counts for nothing. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
}

export interface Answer {
  readonly status: number
  /** Whether it says that the connection ends with it. */
  readonly closes: boolean
  readonly body: string
  /** Head and body, as they came. */
  readonly bytes: number
}

/** The answer at the start of `text` (Latin-1), or nothing as long as it is not complete. Throws `WrongAnswer` where there is none. */
export function parseAnswer(text: string): Answer | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = text.slice(0, end)
  const { status, length } = parseAnswerHead(head)
  const closes = /\r\nconnection: *close/i.test(head)
  const bytes = end + 4 + length
  if (text.length < bytes) return undefined
  if (text.length > bytes) throw new WrongAnswer(`bytes behind an answer: ${text.slice(bytes)}`)
  return { status, closes, body: text.slice(end + 4), bytes }
}

/** Status and content-length of a head. Throws `WrongAnswer` where it has none. */
export function parseAnswerHead(head: string): {
  readonly status: number
  readonly length: number
} {
  const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (status === undefined || length === undefined)
    throw new WrongAnswer(`an answer without status or content-length: ${head.slice(0, 300)}`)
  return { status: Number(status), length: Number(length) }
}
