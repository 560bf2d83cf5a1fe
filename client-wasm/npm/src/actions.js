// What the module's output asks for: see npm.rs, which says what belongs to each action.

export const CONNECT = 0;
export const CLOSE = 1;
export const ABANDON = 2;
export const REQUEST_TOKEN = 3;
export const SEND = 4;
export const FINISH = 5;
export const PUSH = 6;
export const ENTER_STATE = 7;
