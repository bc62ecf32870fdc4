//! Huawei Cloud ELB wire words to our words and back.
