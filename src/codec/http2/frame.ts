/** Numbers of HTTP/2 on the wire (RFC 9113 §6, §7; RFC 9218 §7.1). */

export const FRAME_HEADER_OCTETS = 9
/** What every end takes, and what SETTINGS_MAX_FRAME_SIZE may raise it to (RFC 9113 §4.2). */
export const DEFAULT_FRAME_SIZE = 16_384
export const LARGEST_FRAME_SIZE = 2 ** 24 - 1
export const MAX_WINDOW: number = 2 ** 31 - 1

export const DATA = 0x0
export const HEADERS = 0x1
export const PRIORITY = 0x2
export const RST_STREAM = 0x3
export const SETTINGS = 0x4
export const PUSH_PROMISE = 0x5
export const PING = 0x6
export const GOAWAY = 0x7
export const WINDOW_UPDATE = 0x8
export const CONTINUATION = 0x9
export const PRIORITY_UPDATE = 0x10

export const END_STREAM = 0x1
export const ACK = 0x1
export const END_HEADERS = 0x4
export const PADDED = 0x8
export const WITH_PRIORITY = 0x20

/** Error codes (RFC 9113 §7), as far as they are said here. */
export const NO_ERROR = 0x0
export const PROTOCOL_ERROR = 0x1
export const INTERNAL_ERROR = 0x2
export const FLOW_CONTROL_ERROR = 0x3
export const STREAM_CLOSED = 0x5
export const FRAME_SIZE_ERROR = 0x6
export const REFUSED_STREAM = 0x7
export const CANCEL = 0x8
export const COMPRESSION_ERROR = 0x9
export const ENHANCE_YOUR_CALM = 0xb
