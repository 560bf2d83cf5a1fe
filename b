1414 1414 streamgate 52874 19894 
1424 1424 streamgate-benc 42190 4570 
1424 1427 streamgate-benc 2 1 
1408 1408 redis-server 34622 9057 
1408 1410 bio_close_file 1 0 
1408 1411 bio_aof_fsync 1 0 
1408 1412 bio_lazy_free 1 0 
1408 1413 jemalloc_bg_thd 3 0 
